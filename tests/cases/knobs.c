// SPDX-License-Identifier: GPL-2.0
/*
 * Cases about the module let others in, by way of the kernel's files, and ask what the kernel has
 * said.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "knobs.h"
#include "test.h"

int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		skip("/dev/kmsg: %s", strerror(errno));
	lseek(fd, 0, SEEK_END);
	return fd;
}

int log_count(int fd, const char *text)
{
	char record[8192];
	int found = 0;
	ssize_t n;

	while ((n = read(fd, record, sizeof(record) - 1)) > 0) {
		record[n] = '\0';
		found += strstr(record, text) != NULL;
	}
	return found;
}

void grep_file(const char *path, const char *text, char *out, size_t size)
{
	FILE *f = fopen(path, "r");
	char line[512];
	size_t len = 0;

	expect(f, "%s: %s", path, strerror(errno));
	out[0] = '\0';
	while (fgets(line, sizeof(line), f))
		if (strstr(line, text) && len + strlen(line) < size)
			len += sprintf(out + len, "%s", line);
	fclose(f);
}
