// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch, for tests of our module beside one.
 *
 * It replaces the one function that its parameter names: either the one that
 * our module hooks, which two can't redirect at a time, or one that is nothing
 * to it, behind /proc/version.  Both replacements show themselves in what they
 * return.
 */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/seq_file.h>
#include <linux/string.h>

struct pipe_inode_info;

static char *function;
module_param(function, charp, 0);

static int livepatched_version_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "livepatched\n");
	return 0;
}

static ssize_t livepatched_tcp_splice_read(struct socket *sock, loff_t *ppos,
					   struct pipe_inode_info *pipe,
					   size_t len, unsigned int flags)
{
	return -EOPNOTSUPP;
}

static const struct {
	const char *name;
	void *replacement;
} known[] = {
	{ "version_proc_show", livepatched_version_proc_show },
	{ "tcp_splice_read", livepatched_tcp_splice_read },
};

/* One, and an empty one at the end; the kernel's own without a name is vmlinux. */
static struct klp_func funcs[2];
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init neighbour_livepatch_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (!function || strcmp(function, known[i].name))
			continue;
		funcs[0].old_name = known[i].name;
		funcs[0].new_func = known[i].replacement;
		return klp_enable_patch(&patch);
	}
	return -EINVAL;
}

/* Has to be there for the module to be unloadable; disabling did the work. */
static void __exit neighbour_livepatch_exit(void)
{
}

module_init(neighbour_livepatch_init);
module_exit(neighbour_livepatch_exit);

MODULE_DESCRIPTION("a livepatch beside sockmap_splice, for tests");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
