// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The kernel's own driver: is it there?
 *
 * It opens UDP port 4791 when it is loaded, or with its first link in a namespace,
 * and fails if it can't. We can do without the port, so we leave it as long as
 * rdma_rxe is loaded. Its coming is announced before it runs.
 */
#include <linux/kobject.h>
#include <linux/module.h>

#include "ns.h"
#include "rival.h"

#define RIVAL	"rdma_rxe"

static bool loaded;
/* We answer to its name, which the RDMA core has room for once. */
static bool replaced;

bool urxe_rival_is_loaded(void)
{
	return READ_ONCE(loaded);
}

static int module_event(struct notifier_block *nb, unsigned long event,
			void *data)
{
	const struct module *mod = data;

	if (strcmp(mod->name, RIVAL))
		return NOTIFY_DONE;
	if (event != MODULE_STATE_COMING && event != MODULE_STATE_GOING)
		return NOTIFY_DONE;
	if (event == MODULE_STATE_COMING && replaced)
		return notifier_from_errno(-EBUSY);
	WRITE_ONCE(loaded, event == MODULE_STATE_COMING);
	urxe_ns_relisten();
	return NOTIFY_OK;
}

static struct notifier_block module_nb = {
	.notifier_call = module_event,
};

/* What is loaded already has a place beside our own in /sys/module. */
static bool in_sysfs(void)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset,
					     RIVAL);

	kobject_put(kobj);
	return kobj;
}

int urxe_rival_init(bool replaces)
{
	int err;

	replaced = replaces;
	err = register_module_notifier(&module_nb);
	if (err)
		return err;
	if (in_sysfs())
		WRITE_ONCE(loaded, true);
	return 0;
}

void urxe_rival_exit(void)
{
	unregister_module_notifier(&module_nb);
}
