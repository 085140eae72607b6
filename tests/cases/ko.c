// SPDX-License-Identifier: GPL-2.0
/*
 * The module as a file and as it is loaded, through the system calls themselves: how long the
 * unload takes and the errno of a refused load are what the tests ask for, and no modprobe may
 * retry or explain them away.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ko.h"
#include "test.h"

/* Seconds. Unhooking waits for RCU tasks more than once, whose polling alone takes 0.5 s. */
#define UNLOAD_LIMIT	(5.0 * slowness)

static const char *ko_path(void)
{
	const char *path = getenv("SOCKMAP_SPLICE_KO");

	return path ? path : "/module/" KO_NAME ".ko";
}

bool ko_loaded(void)
{
	return !access("/sys/module/" KO_NAME, F_OK);
}

int ko_load(const char *params)
{
	int fd = open(ko_path(), O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (syscall(__NR_finit_module, fd, params, 0))
		err = -errno;
	close(fd);
	return err;
}

/* Gives the module in the image another name, of the same length, wherever it is named. */
static void rename_image(char *image, size_t len, const char *name)
{
	char *end = image + len, *at = image;

	while ((at = memmem(at, end - at, KO_NAME, sizeof(KO_NAME)))) {
		memcpy(at, name, sizeof(KO_NAME));
		at += sizeof(KO_NAME);
	}
}

int ko_load_as(const char *name)
{
	int fd = open(ko_path(), O_RDONLY | O_CLOEXEC), err = 0;
	struct stat st;
	char *image;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	image = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	if (image == MAP_FAILED)
		return -errno;
	rename_image(image, st.st_size, name);
	if (syscall(__NR_init_module, image, (unsigned long)st.st_size, ""))
		err = -errno;
	munmap(image, st.st_size);
	return err;
}

int ko_unload(void)
{
	return syscall(__NR_delete_module, KO_NAME, O_NONBLOCK) ? -errno : 0;
}

void ko_need(void)
{
	int err;

	if (access(ko_path(), R_OK))
		skip("no module file %s", ko_path());
	err = ko_loaded() ? 0 : ko_load("");
	expect_result(err, 0, "load");
}

double ko_unload_in_time(void)
{
	double begin = now(), took;

	expect_result(ko_unload(), 0, "unload");
	took = now() - begin;
	expect(took < UNLOAD_LIMIT, "the unload took %.1f s", took);
	expect(!ko_loaded(), "still there after the unload");
	return took;
}

int ko_restore(bool loaded)
{
	return loaded ? ko_load("") : ko_unload();
}

static void parameter_path(char *path, size_t size, const char *name)
{
	snprintf(path, size, "/sys/module/" KO_NAME "/parameters/%s", name);
}

long long ko_parameter(const char *name)
{
	char path[128], text[64];
	long long value;
	FILE *f;

	parameter_path(path, sizeof(path), name);
	f = fopen(path, "r");
	if (!f)
		return -errno;
	if (!fgets(text, sizeof(text), f))
		value = -EIO;
	else if (text[0] == 'Y' || text[0] == 'N')
		value = text[0] == 'Y';
	else
		value = strtoll(text, NULL, 10);
	fclose(f);
	return value;
}

long long ko_counter(const char *glob)
{
	char name[64], pattern[64];
	long long value, sum = 0;
	int found = 0;
	FILE *f;

	snprintf(pattern, sizeof(pattern), "SockmapSplice%s", glob);
	f = fopen(KO_COUNTERS, "r");
	if (!f)
		return -errno;
	while (fscanf(f, "%63s %lld", name, &value) == 2) {
		if (fnmatch(pattern, name, 0))
			continue;
		sum += value;
		found++;
	}
	fclose(f);
	return found ? sum : -ENOENT;
}

int ko_set_parameter(const char *name, const char *value)
{
	char path[128];
	int fd, err = 0;

	parameter_path(path, sizeof(path), name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}
