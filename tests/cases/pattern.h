/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_PATTERN_H
#define CASES_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* A run this long says which part of the stream it is. */
#define PATTERN_LOCATABLE 15

/* The bytes [offset, offset + len) of the one stream that all tests send. */
void pattern_fill(void *buf, uint64_t offset, size_t len);
/* Fails the case, saying what was lost, repeated or moved, unless buf holds exactly those bytes. */
void pattern_check(const void *buf, uint64_t offset, size_t len, const char *what);
/* The offset of a run of the stream, or -1. */
int64_t pattern_find(const void *buf, size_t len);

#endif
