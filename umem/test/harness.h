/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The part of KUnit that the cases use, for kernels without KUnit: the same
 * cases, and the same lines in the kernel log ("ok 1 name", "not ok 1 name").
 */
#ifndef UMEM_TEST_HARNESS_H
#define UMEM_TEST_HARNESS_H

#include <linux/kconfig.h>

#if IS_ENABLED(CONFIG_KUNIT)

#include <kunit/test.h>

#else

#include <linux/printk.h>
#include <linux/types.h>

struct kunit {
	void		*priv;
	bool		failed;
	const char	*skipped;
};

struct kunit_case {
	void		(*run_case)(struct kunit *test);
	const char	*name;
};

#define KUNIT_CASE(fn)	{ .run_case = (fn), .name = #fn }

#define KUNIT_EXPECT_TRUE(test, cond) do {				\
	if (!(cond)) {							\
		(test)->failed = true;					\
		pr_info("# %s:%d: %s\n", __func__, __LINE__, #cond);	\
	}								\
} while (0)

#define KUNIT_EXPECT_EQ(test, left, right) do {				\
	long long __l = (left), __r = (right);				\
									\
	if (__l != __r) {						\
		(test)->failed = true;					\
		pr_info("# %s:%d: %s is %lld, not %lld\n", __func__,	\
			__LINE__, #left, __l, __r);			\
	}								\
} while (0)

#define kunit_skip(test, why) do {					\
	(test)->skipped = (why);					\
	return;								\
} while (0)

#endif

#endif /* UMEM_TEST_HARNESS_H */
