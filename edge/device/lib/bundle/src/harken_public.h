/* What the shared library exports. Include it before everything else, whose symbols are hidden. */
#ifndef HARKEN_PUBLIC_H
#define HARKEN_PUBLIC_H

#pragma GCC visibility push(default)
#include "harken_app.h"
#include "model_data.h"
#pragma GCC visibility pop

#endif
