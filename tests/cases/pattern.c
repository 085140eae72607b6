// SPDX-License-Identifier: GPL-2.0
/*
 * A byte stream in which every place is different and says where it is.
 *
 * Each aligned word is its index put through a mixing function that can be inverted. Equal bytes
 * at another place, as a counter modulo 256 has them, would let a lost page pass; and since a
 * word gives back its index, a wrong byte is reported as what it is: n bytes lost, repeated, or
 * never sent.
 */
#include <string.h>

#include "pattern.h"
#include "test.h"

#define WORD		8
#define MIX		0x9e3779b97f4a7c15ull
#define MIX_INVERSE	0xf1de83e19937733dull	/* MIX * MIX_INVERSE == 1 (mod 2^64) */
#define MAX_INDEX	(1ull << 32)

static uint64_t mix(uint64_t i)
{
	i = (i + 1) * MIX;
	return i ^ (i >> 32);
}

static uint64_t unmix(uint64_t word)
{
	return (word ^ (word >> 32)) * MIX_INVERSE - 1;
}

void pattern_fill(void *buf, uint64_t offset, size_t len)
{
	unsigned char *out = buf;

	while (len) {
		uint64_t word = mix(offset / WORD);
		size_t skip_bytes = offset % WORD;
		size_t n = WORD - skip_bytes < len ? WORD - skip_bytes : len;

		memcpy(out, (unsigned char *)&word + skip_bytes, n);
		out += n;
		offset += n;
		len -= n;
	}
}

static bool pattern_is(const unsigned char *buf, uint64_t offset, size_t len)
{
	unsigned char want[512];

	while (len) {
		size_t n = len < sizeof(want) ? len : sizeof(want);

		pattern_fill(want, offset, n);
		if (memcmp(buf, want, n))
			return false;
		buf += n;
		offset += n;
		len -= n;
	}
	return true;
}

int64_t pattern_find(const void *buf, size_t len)
{
	for (size_t shift = 0; shift < WORD && shift + WORD <= len; shift++) {
		uint64_t word, index;

		memcpy(&word, (const unsigned char *)buf + shift, WORD);
		index = unmix(word);
		if (index < MAX_INDEX && index * WORD >= shift &&
		    pattern_is(buf, index * WORD - shift, len))
			return index * WORD - shift;
	}
	return -1;
}

static void explain(const unsigned char *buf, uint64_t offset, size_t len, const char *what)
{
	size_t run = len < 2 * WORD ? len : 2 * WORD;
	int64_t found = pattern_find(buf, run);

	if (found < 0)
		fail("%s: at byte %llu come bytes that were never sent (%02x...)", what,
		     (unsigned long long)offset, buf[0]);
	if ((uint64_t)found > offset)
		fail("%s: at byte %llu comes byte %lld: %lld bytes lost or late", what,
		     (unsigned long long)offset, (long long)found, (long long)(found - offset));
	fail("%s: at byte %llu comes byte %lld: %lld bytes repeated or late", what,
	     (unsigned long long)offset, (long long)found, (long long)(offset - found));
}

void pattern_check(const void *buf, uint64_t offset, size_t len, const char *what)
{
	const unsigned char *in = buf;

	if (pattern_is(in, offset, len))
		return;
	while (len > 1 && pattern_is(in, offset, 1)) {
		in++;
		offset++;
		len--;
	}
	explain(in, offset, len, what);
}
