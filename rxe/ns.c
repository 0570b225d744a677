// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The wire end of a network namespace.
 *
 * A namespace does not wait for the links in it by itself: when it goes, the core
 * ends them in the background, and a NIC that survives it moves to the initial
 * one. So our exit hook, which runs after the NICs have left and before the UDP
 * stack does, ends the rest and waits.
 */
#include <net/netns/generic.h>

#include "intake.h"
#include "link.h"
#include "ns.h"

/* Guards urxe_open, what struct urxe_ns says it does, and opening and closing. */
static DEFINE_MUTEX(urxe_ns_lock);
static LIST_HEAD(urxe_open);
static unsigned int urxe_net_id;

static int open_ns(struct urxe_ns *ns)
{
	int err = urxe_intake_open(ns->net);

	if (err)
		return err;
	urxe_listen_open(&ns->listen, ns->net);
	list_add(&ns->entry, &urxe_open);
	return 0;
}

static void close_ns(struct urxe_ns *ns)
{
	list_del(&ns->entry);
	urxe_listen_close(&ns->listen);
	urxe_intake_close(ns->net);
}

void urxe_ns_relisten(void)
{
	struct urxe_ns *ns;

	mutex_lock(&urxe_ns_lock);
	list_for_each_entry(ns, &urxe_open, entry) {
		urxe_listen_close(&ns->listen);
		urxe_listen_open(&ns->listen, ns->net);
	}
	mutex_unlock(&urxe_ns_lock);
}

struct urxe_ns *urxe_ns_get(struct net *net)
{
	struct urxe_ns *ns = net_generic(net, urxe_net_id);
	int err = 0;

	mutex_lock(&urxe_ns_lock);
	if (!ns->users)
		err = open_ns(ns);
	if (!err)
		ns->users++;
	mutex_unlock(&urxe_ns_lock);
	return err ? ERR_PTR(err) : ns;
}

void urxe_ns_put(struct urxe_ns *ns)
{
	mutex_lock(&urxe_ns_lock);
	if (!--ns->users)
		close_ns(ns);
	mutex_unlock(&urxe_ns_lock);
}

static int __net_init ns_init(struct net *net)
{
	struct urxe_ns *ns = net_generic(net, urxe_net_id);

	ns->net = net;
	return 0;
}

static void __net_exit ns_exit(struct net *net)
{
	urxe_links_drop(net);
}

static struct pernet_operations ns_ops = {
	.init	= ns_init,
	.exit	= ns_exit,
	.id	= &urxe_net_id,
	.size	= sizeof(struct urxe_ns),
};

int urxe_ns_init(void)
{
	return register_pernet_subsys(&ns_ops);
}

void urxe_ns_exit(void)
{
	unregister_pernet_subsys(&ns_ops);
}
