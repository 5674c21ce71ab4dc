/* The parts of the C library that the engine uses, for targets whose headers are not available. */
#ifndef HARKEN_DECLARED_STRING_H
#define HARKEN_DECLARED_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

#endif
