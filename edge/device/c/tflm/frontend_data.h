/* The front end's tables. */
#ifndef HARKEN_@UPPER@_FRONTEND_H
#define HARKEN_@UPPER@_FRONTEND_H

#include "harken.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const harken_frontend harken_@ID@_frontend;

#ifdef __cplusplus
}
#endif
#endif
