/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Tables of what is found by number, for each packet.
 */
#ifndef URXE_TABLE_H
#define URXE_TABLE_H

#include <linux/xarray.h>

/*
 * As xa_load(), for who is in an RCU read-side critical section already: it has to
 * be there for as long as it uses what it finds, and need not enter another.
 */
static inline void *urxe_table_find(struct xarray *table, unsigned long index)
{
	XA_STATE(xas, table, index);
	void *entry;

	do {
		entry = xas_load(&xas);
		if (xa_is_zero(entry))
			entry = NULL;
	} while (xas_retry(&xas, entry));
	return entry;
}

#endif /* URXE_TABLE_H */
