/* What the library uses of the C library, for targets whose own headers are not available. */
#ifndef HARKEN_DECLARED_STDLIB_H
#define HARKEN_DECLARED_STDLIB_H

#include <stddef.h>

void *malloc(size_t n);
void free(void *memory);

#endif
