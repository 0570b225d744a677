// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * What happens to the NICs, told to the links.
 */
#include <linux/netdevice.h>

#include "link.h"

/* A NIC that moves to another namespace leaves the one where its links live. */
static int netdev_event(struct notifier_block *nb, unsigned long event,
			void *ptr)
{
	struct net_device *ndev = netdev_notifier_info_to_dev(ptr);

	switch (event) {
	case NETDEV_UNREGISTER:
		urxe_links_unregister(ndev);
		break;
	case NETDEV_UP:
	case NETDEV_DOWN:
	case NETDEV_CHANGE:
	case NETDEV_CHANGEMTU:
		urxe_links_update(ndev);
		break;
	default:
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block netdev_nb = {
	.notifier_call = netdev_event,
};

int urxe_netdev_init(void)
{
	return register_netdevice_notifier(&netdev_nb);
}

void urxe_netdev_exit(void)
{
	unregister_netdevice_notifier(&netdev_nb);
}
