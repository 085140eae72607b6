// SPDX-License-Identifier: GPL-2.0
/*
 * Has a function with the name of the one that our module hooks. ftrace finds
 * functions by name, and this one is nothing to our module.
 *
 *	echo FD >/sys/module/namesake/parameters/call
 *
 * calls it with the socket whose descriptor FD is, and fails if the answer isn't
 * this function's. Should the call end in our module, the position, which no
 * socket has, makes it return before it touches the pipe, which isn't there.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/net.h>

#define ANSWER 42

struct pipe_inode_info;

static ssize_t answer = ANSWER;

/* Not to be worked out by the compiler, nor to get another name. */
static noinline __noclone ssize_t
tcp_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe,
		size_t len, unsigned int flags)
{
	return READ_ONCE(answer);
}

static int set_call(const char *value, const struct kernel_param *kp)
{
	struct socket *sock;
	loff_t pos = 1;
	ssize_t got;
	int fd, ret;

	ret = kstrtoint(value, 0, &fd);
	if (ret)
		return ret;
	sock = sockfd_lookup(fd, &ret);
	if (!sock)
		return ret;
	got = tcp_splice_read(sock, &pos, NULL, 1, 0);
	sockfd_put(sock);
	if (got == ANSWER)
		return 0;
	return got < 0 ? got : -EPROTO;
}

static const struct kernel_param_ops call_ops = { .set = set_call };

module_param_cb(call, &call_ops, NULL, 0200);
MODULE_PARM_DESC(call, "Descriptor of the socket to call the function with");
MODULE_DESCRIPTION("A test of sockmap_splice: a function of the same name");
MODULE_LICENSE("GPL");

static int __init namesake_init(void)
{
	return 0;
}

static void __exit namesake_exit(void)
{
}

module_init(namesake_init);
module_exit(namesake_exit);
