/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * ibv_advise_mr(): pages brought in before they are needed.
 */
#ifndef URXE_ADVISE_H
#define URXE_ADVISE_H

#include "mr.h"

int urxe_advise_mr(struct ib_pd *ibpd, enum ib_uverbs_advise_mr_advice advice,
		   u32 flags, struct ib_sge *sges, u32 num_sge,
		   struct uverbs_attr_bundle *attrs);

/**
 * urxe_advise_cancel - end what is prefetched in the background for a region
 * @mr: no longer in the link's table
 *
 * A fault under way is interrupted. Does not wait: what goes on has a reference
 * on @mr until it has ended.
 */
void urxe_advise_cancel(struct urxe_mr *mr);

#endif /* URXE_ADVISE_H */
