// SPDX-License-Identifier: GPL-2.0
/*
 * Debian 13's libelf.a (elfutils 0.192) can't be linked: it calls four helpers of elfutils'
 * internal libeu.a, which isn't shipped (sourceware bug 32293, fixed in 0.193). They are here,
 * without the locking, which libelf needs only when threads share one Elf. Weak, so that a libelf.a
 * that has its own wins, and in the same object as modes.c, so that they are linked before libelf.a
 * is searched.
 */
#define _GNU_SOURCE
#include <search.h>
#include <stddef.h>

#define weak __attribute__((weak))

typedef int (*compare_fn)(const void *, const void *);

/* The lock that follows is not touched here. */
struct search_tree {
	void *root;
};

weak void eu_search_tree_init(struct search_tree *tree)
{
	tree->root = NULL;
}

weak void eu_search_tree_fini(struct search_tree *tree, void (*free_node)(void *))
{
	tdestroy(tree->root, free_node);
	tree->root = NULL;
}

weak void *eu_tsearch(const void *key, struct search_tree *tree, compare_fn compare)
{
	return tsearch(key, &tree->root, compare);
}

weak void *eu_tdelete(const void *key, struct search_tree *tree, compare_fn compare)
{
	return tdelete(key, &tree->root, compare);
}
