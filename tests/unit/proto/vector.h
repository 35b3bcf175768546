/* vector.h - reads the byte notation of tests/vectors (see the README there). */
#ifndef RINGMQ_TESTS_VECTOR_H
#define RINGMQ_TESTS_VECTOR_H

#include <stddef.h>
#include <stdint.h>

/* Writes the bytes that `text` describes; returns how many, or SIZE_MAX when the notation is broken. */
size_t vector_bytes(const char *text, uint8_t *out, size_t capacity);

#endif
