// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * What happens to the NICs, told to the links.
 */
#include <linux/inetdevice.h>
#include <linux/netdevice.h>
#include <net/addrconf.h>
#include <net/if_inet6.h>

#include "link.h"
#include "mcast.h"

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
	case NETDEV_CHANGEMTU:
		urxe_mcast_rejoin(ndev);
		fallthrough;
	case NETDEV_DOWN:
	case NETDEV_CHANGE:
		urxe_links_update(ndev);
		break;
	default:
		break;
	}
	return NOTIFY_DONE;
}

static void address_event(struct net_device *ndev, unsigned long event)
{
	if (ndev->type != ARPHRD_ETHER)
		urxe_links_readdress(ndev, event == NETDEV_DOWN);
}

static int inetaddr_event(struct notifier_block *nb, unsigned long event,
			  void *ptr)
{
	struct in_ifaddr *ifa = ptr;

	address_event(ifa->ifa_dev->dev, event);
	return NOTIFY_DONE;
}

static int inet6addr_event(struct notifier_block *nb, unsigned long event,
			   void *ptr)
{
	struct inet6_ifaddr *ifa = ptr;

	address_event(ifa->idev->dev, event);
	return NOTIFY_DONE;
}

static struct notifier_block netdev_nb = {
	.notifier_call = netdev_event,
};

static struct notifier_block inetaddr_nb = {
	.notifier_call = inetaddr_event,
};

static struct notifier_block inet6addr_nb = {
	.notifier_call = inet6addr_event,
};

/* The two for addresses can't fail. */
int urxe_netdev_init(void)
{
	int err = register_netdevice_notifier(&netdev_nb);

	if (err)
		return err;
	register_inetaddr_notifier(&inetaddr_nb);
	if (IS_ENABLED(CONFIG_IPV6))
		register_inet6addr_notifier(&inet6addr_nb);
	return 0;
}

void urxe_netdev_exit(void)
{
	if (IS_ENABLED(CONFIG_IPV6))
		unregister_inet6addr_notifier(&inet6addr_nb);
	unregister_inetaddr_notifier(&inetaddr_nb);
	unregister_netdevice_notifier(&netdev_nb);
}
