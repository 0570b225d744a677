/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef URXE_TEST_CASES_H
#define URXE_TEST_CASES_H

#include "end.h"

/**
 * struct test_case - one case
 * @name: of the function
 * @run: @a sends to, and reads from, @b; sets *@failed
 * @srq: @b has a shared receive queue
 * @uc: they are connected unreliably
 */
struct test_case {
	const char	*name;
	void		(*run)(struct end *a, struct end *b, bool *failed);
	bool		srq;
	bool		uc;
};

/* Ends with one that has no name. */
extern const struct test_case test_cases[];

#endif /* URXE_TEST_CASES_H */
