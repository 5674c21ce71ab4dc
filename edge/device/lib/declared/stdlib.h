/* The parts of the C library that the library uses, for targets whose headers are not available. */
#ifndef HARKEN_DECLARED_STDLIB_H
#define HARKEN_DECLARED_STDLIB_H

#include <stddef.h>

void *malloc(size_t n);
void free(void *memory);

#endif
