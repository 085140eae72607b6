// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "net.h"
#include "pattern.h"
#include "scene.h"
#include "take.h"

#define MORE	5000	/* to see that the stream goes on */

void scene_open(struct scene *s, const struct test *t)
{
	memset(s, 0, sizeof(*s));
	link_connect(&s->l, t);
	if (t->family == AF_UNIX && t->mode != MODE_PLAIN && !sockmap_takes_unix())
		skip("this kernel takes no unix stream sockets into a sockmap");
	set_nonblock(s->l.rx);
	set_nodelay(s->l.peer);
	reader_open(&s->r, t);
}

void scene_send(struct scene *s, size_t size)
{
	send_pattern(s->l.peer, s->sent, size, size);
	s->sent += size;
	await_readable(s->l.rx);
}

void scene_take(struct scene *s, size_t size)
{
	receive(&s->r, s->l.rx, s->taken, size, size < 4096 ? size : 4096);
	s->taken += size;
}

void scene_take_all(struct scene *s)
{
	size_t size = s->sent - s->taken;

	receive_all(&s->r, s->l.rx, s->taken, size, 4096);
	s->taken += size;
}

void scene_take_at_once(struct scene *s, size_t size, const char *what)
{
	char buf[4096];

	expect_result(reader_take(&s->r, s->l.rx, buf, sizeof(buf)), size, "%s", what);
	pattern_check(buf, s->taken, size, what);
	s->taken += size;
}

void scene_goes_on(struct scene *s)
{
	send_pattern(s->l.peer, s->sent, MORE, 1000);
	s->sent += MORE;
	scene_take_all(s);
}

void scene_expect_end(struct scene *s)
{
	char byte;

	await_readable(s->l.rx);
	expect_result(reader_take(&s->r, s->l.rx, &byte, 1), 0, "behind all bytes");
}

void scene_expect_fin(struct scene *s)
{
	expect(!shutdown(s->l.peer, SHUT_WR), "shutdown: %s", strerror(errno));
	scene_expect_end(s);
}

void scene_expect_nothing(struct scene *s)
{
	char byte;

	expect_result(reader_take(&s->r, s->l.rx, &byte, 1), -EAGAIN, "nothing there");
}

void scene_insert(struct scene *s)
{
	if (s->l.map)
		expect_result(sockmap_insert(s->l.map, s->l.rx), 0, "insert of rx");
}

void scene_remove(struct scene *s)
{
	if (s->l.map)
		expect_result(sockmap_remove(s->l.map, s->l.rx), 0, "removal of rx");
}

void scene_insert_mere_target(struct scene *s, int via, int from)
{
	expect_result(sockmap_detach_programs(s->l.map), 0, "detach");
	scene_insert(s);
	expect_result(sockmap_attach_programs(s->l.map), 0, "attach");
	expect_result(sockmap_route(s->l.map, from, s->l.rx), 0, "route");
	expect_result(sockmap_insert(s->l.map, via), 0, "insert of via");
}
