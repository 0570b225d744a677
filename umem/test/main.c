// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * umem_test: ib_umem by itself. Loading it runs the cases, in a kernel thread and
 * on the memory of the process that loads it; /dev/umem_test gives programs the
 * library to play with, for what the cases cannot do to a process. Never
 * installed.
 */
#define pr_fmt(fmt) fmt

#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "test.h"

struct mm_struct *umem_test_mm;

#if IS_ENABLED(CONFIG_KUNIT)

static int suite_init(struct kunit_suite *suite)
{
	umem_test_mm = current->mm;
	mmgrab(umem_test_mm);
	return umem_test_dma_init();
}

static void suite_exit(struct kunit_suite *suite)
{
	mmdrop(umem_test_mm);
}

static struct kunit_suite umem_test_suite = {
	.name		= "umem",
	.suite_init	= suite_init,
	.suite_exit	= suite_exit,
	.test_cases	= umem_test_cases,
};
kunit_test_suite(umem_test_suite);

static void run_cases(void)
{
}

#else

static void run_case(struct kunit_case *c, int n)
{
	struct kunit test = { };

	c->run_case(&test);
	pr_info("%sok %d %s%s%s\n", test.failed ? "not " : "", n, c->name,
		test.skipped ? " # SKIP " : "", test.skipped ?: "");
}

static void run_all(struct work_struct *work)
{
	int n;

	pr_info("# Subtest: umem\n");
	for (n = 0; umem_test_cases[n].run_case; n++)
		run_case(&umem_test_cases[n], n + 1);
	pr_info("1..%d\n", n);
}

static void run_cases(void)
{
	struct work_struct work;

	umem_test_mm = current->mm;
	INIT_WORK_ONSTACK(&work, run_all);
	schedule_work(&work);
	flush_work(&work);
	destroy_work_on_stack(&work);
}

#endif

static int __init umem_test_init(void)
{
	int err;

	err = umem_test_dma_init();
	if (err)
		return err;
	err = umem_test_dev_init();
	if (err) {
		umem_test_dma_exit();
		return err;
	}
	run_cases();
	return 0;
}

static void __exit umem_test_exit(void)
{
	umem_test_dev_exit();
	umem_test_dma_exit();
}

module_init(umem_test_init);
module_exit(umem_test_exit);
MODULE_DESCRIPTION("Tests of ib_umem");
MODULE_LICENSE("Dual BSD/GPL");
