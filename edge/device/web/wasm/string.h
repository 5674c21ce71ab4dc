/* What the engine uses of the C library, for targets without one. */
#ifndef HARKEN_STRING_H
#define HARKEN_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

#endif
