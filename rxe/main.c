// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The module: comes and goes.
 */
#include <linux/module.h>
#include <rdma/rdma_netlink.h>

#include "frag.h"
#include "handle.h"
#include "icrc.h"
#include "link.h"
#include "ns.h"
#include "rival.h"
#include "runner.h"

static char *link_type = "urxe";
module_param(link_type, charp, 0444);
MODULE_PARM_DESC(link_type, "type name for `rdma link add` (default urxe); "
		 "rxe to stand in for rdma_rxe, which must not be loaded then");

static int __init urxe_init(void)
{
	int err;

	if (strcmp(link_type, "urxe") && strcmp(link_type, "rxe"))
		return -EINVAL;
	err = urxe_icrc_init();
	if (err)
		return err;
	err = urxe_streams_init();
	if (err)
		goto exit_icrc;
	err = urxe_ns_init();
	if (err)
		goto exit_handles;
	err = urxe_rival_init(!strcmp(link_type, "rxe"));
	if (err)
		goto exit_ns;
	err = urxe_netdev_init();
	if (err)
		goto exit_rival;
	err = urxe_link_init(link_type);
	if (err)
		goto exit_netdev;
	return 0;

exit_netdev:
	urxe_netdev_exit();
exit_rival:
	urxe_rival_exit();
exit_ns:
	urxe_ns_exit();
exit_handles:
	urxe_handles_exit();
	urxe_streams_exit();
exit_icrc:
	urxe_icrc_exit();
	return err;
}

/* From the first line on there are no links, and the rest has nothing to do. */
static void __exit urxe_exit(void)
{
	urxe_link_exit();
	urxe_netdev_exit();
	urxe_rival_exit();
	urxe_ns_exit();
	urxe_handles_exit();
	urxe_streams_exit();
	urxe_frags_exit();
	urxe_icrc_exit();
}

module_init(urxe_init);
module_exit(urxe_exit);

MODULE_DESCRIPTION("Soft RoCEv2 without pinned user memory");
MODULE_AUTHOR("The urxe developers");
MODULE_LICENSE("Dual BSD/GPL");
MODULE_VERSION(URXE_VERSION);
MODULE_ALIAS_RDMA_LINK("urxe");
