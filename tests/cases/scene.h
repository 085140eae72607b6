/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A link whose ends a case puts into maps itself, and one pattern stream over it: how much of it was
 * sent to rx and how much was taken there.
 */
#ifndef CASES_SCENE_H
#define CASES_SCENE_H

#include <stddef.h>
#include <stdint.h>

#include "net.h"
#include "take.h"
#include "test.h"

struct scene {
	struct link l;
	struct reader r;
	uint64_t sent, taken;
};

/* Connected, nothing is in a map; rx doesn't block. */
void scene_open(struct scene *s, const struct test *t);
void scene_insert(struct scene *s);	/* rx */
void scene_remove(struct scene *s);	/* rx */
/*
 * The same without the map's programs. What arrives at `via` is redirected to rx; `from` is what
 * sockmap_route() wants of it.
 */
void scene_insert_mere_target(struct scene *s, int via, int from);

/* Bytes of rx's own stream, all of which are there when this returns. */
void scene_send(struct scene *s, size_t size);
void scene_take(struct scene *s, size_t size);
void scene_take_all(struct scene *s);
/* By one call. */
void scene_take_at_once(struct scene *s, size_t size, const char *what);

/* More bytes come through. */
void scene_goes_on(struct scene *s);
void scene_expect_nothing(struct scene *s);
/* All bytes have been taken, and what follows is the end of file. */
void scene_expect_end(struct scene *s);
/* The same, once the sender has shut down. */
void scene_expect_fin(struct scene *s);

#endif
