/* The exported symbols of the shared library. Include it first; all other symbols are hidden. */
#ifndef HARKEN_PUBLIC_H
#define HARKEN_PUBLIC_H

#pragma GCC visibility push(default)
#include "harken_app.h"
#include "model_data.h"
#pragma GCC visibility pop

#endif
