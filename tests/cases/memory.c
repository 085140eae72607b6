// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel's memory says of sockets and pages that didn't come back. Sockets have to come
 * back exactly, and their memory but for what each CPU may keep of it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "test.h"

#define MEM_PAGES	256	/* per CPU: SK_MEMORY_PCPU_RESERVE, which a CPU may keep */
#define PATIENCE_S	(3 * slowness)

static long number_after(const char *path, const char *line_start, const char *key)
{
	char line[256];
	long value = -1;
	FILE *f = fopen(path, "r");

	expect(f, "%s is missing", path);
	while (fgets(line, sizeof(line), f)) {
		bool right_line = !strncmp(line, line_start, strlen(line_start));
		const char *at = right_line ? strstr(line, key) : NULL;

		if (at)
			sscanf(at + strlen(key), "%ld", &value);
	}
	fclose(f);
	expect(value >= 0, "%s has no %s", path, key);
	return value;
}

struct socket_memory socket_memory(void)
{
	return (struct socket_memory){
		.sockets = number_after("/proc/net/sockstat", "TCP:", " alloc "),
		.pages = number_after("/proc/net/sockstat", "TCP:", " mem "),
	};
}

/* Pages that CPUs keep for themselves count neither as used nor as free, and may be megabytes. */
static long cpus_kb(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	long pages = 0, count;
	char line[256];

	expect(f, "/proc/zoneinfo is missing");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &count) == 1)
			pages += count;
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

long free_kb(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	long best = 0;

	if (fd < 0 || write(fd, "3", 1) != 1)
		note("drop_caches: not written");
	close(fd);
	for (int i = 0; i < 20; i++) {
		long kb = number_after("/proc/meminfo", "MemFree:", ":") + cpus_kb();

		best = kb > best ? kb : best;
		sleep_ms(50);
	}
	return best;
}

void await_sockets(const struct socket_memory *before)
{
	long allowed = before->pages + MEM_PAGES * sysconf(_SC_NPROCESSORS_ONLN);
	struct socket_memory is = socket_memory();
	double end = now() + PATIENCE_S;

	while (is.sockets > before->sockets || is.pages > allowed) {
		expect(now() < end, "%ld sockets, %ld pages of socket memory; before: %ld, %ld",
		       is.sockets, is.pages, before->sockets, before->pages);
		sleep_ms(20);
		is = socket_memory();
	}
}
