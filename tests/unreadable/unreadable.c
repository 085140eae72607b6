// SPDX-License-Identifier: GPL-2.0
/*
 * Takes the page of what is queued first in a socket's ingress_msg away, as if
 * the bytes were in the memory of a device, and puts it back. No device of a
 * test guest has such memory; __skb_to_sgvec() leaves NULL for it.
 *
 *	echo FD >/sys/module/unreadable/parameters/socket	take it away
 *	echo -1 >/sys/module/unreadable/parameters/socket	put it back
 *
 * by the process whose descriptor FD is. Nobody may take the message from the
 * queue in between.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/skmsg.h>
#include <net/sock.h>

static DEFINE_MUTEX(lock);
static struct scatterlist *entry;
static struct page *page;

static int take_away(struct sock *sk)
{
	struct sk_psock *psock = sk_psock_get(sk);
	struct sk_msg *msg;

	if (!psock)
		return -ENOENT;
	lock_sock(sk);
	msg = list_first_entry_or_null(&psock->ingress_msg, struct sk_msg, list);
	if (msg) {
		entry = sk_msg_elem(msg, msg->sg.start);
		page = sg_page(entry);
		sg_assign_page(entry, NULL);
	}
	release_sock(sk);
	sk_psock_put(sk, psock);
	return msg ? 0 : -ENODATA;
}

static int take_from(int fd)
{
	struct socket *sock;
	int ret;

	if (entry)
		return -EBUSY;
	sock = sockfd_lookup(fd, &ret);
	if (!sock)
		return ret;
	ret = take_away(sock->sk);
	sockfd_put(sock);
	return ret;
}

static int put_back(void)
{
	if (!entry)
		return -ENODATA;
	sg_assign_page(entry, page);
	entry = NULL;
	return 0;
}

static int set_socket(const char *value, const struct kernel_param *kp)
{
	int fd, ret;

	ret = kstrtoint(value, 0, &fd);
	if (ret)
		return ret;
	mutex_lock(&lock);
	ret = fd < 0 ? put_back() : take_from(fd);
	mutex_unlock(&lock);
	return ret;
}

static const struct kernel_param_ops socket_ops = { .set = set_socket };

module_param_cb(socket, &socket_ops, NULL, 0200);
MODULE_PARM_DESC(socket, "Descriptor of the socket whose first page is taken away, or -1 to put it back");
MODULE_DESCRIPTION("A test of sockmap_splice: bytes without a page");
MODULE_LICENSE("GPL");

static int __init unreadable_init(void)
{
	return 0;
}

static void __exit unreadable_exit(void)
{
}

module_init(unreadable_init);
module_exit(unreadable_exit);
