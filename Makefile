# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
#
#	make			build the modules for KDIR
#	make install		install them, with depmod (as root)
#	make uninstall		remove them
#	make clean
#	make lint		warnings, sparse, style, shell and Python
#	make demo		ib_write_bw with nothing pinned, next to rdma_rxe
#	make check		all tests, in virtual machines
#	make bench		urxe against rdma_rxe and TCP
#	make kernels		the CRC's and the copy's loops, on this very processor
#	make cost		what registering memory costs, by size
#	make profile		the kernel's instructions for a message, by function
#	make selftest		the test machine's own tests
#
#	KERNEL=6.1|6.12|sid|debug	one kernel instead of all (demo, cost, profile: 6.1)
#	TESTS=expression		only the tests whose name matches
#	QUICK=1				leave out what takes long
#	SCALING=1			bench: by queue pairs and processors
#	TOOL=ib_write_bw SIZE=65536	profile: another message than ib_write_lat's 8 bytes
#	ROUNDS=n			bench: so many instead of its own number
#	TIME=seconds			limit for each virtual machine

KDIR ?= /lib/modules/$(shell uname -r)/build
# As the kernel calls itself. (kernel.release, in Debian's headers, need not be it.)
RELEASE = $(or $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h),\
	$(error no kernel headers in $(KDIR)))
DEPMOD_BASE = $(if $(INSTALL_MOD_PATH),-b $(INSTALL_MOD_PATH))
# Not in everybody's path who becomes root.
export PATH := $(PATH):/usr/sbin:/sbin
ALL_KERNELS := 6.1 6.12 sid
KERNELS = $(or $(KERNEL),$(ALL_KERNELS))

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

install: modules
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install
	depmod -a $(DEPMOD_BASE) $(RELEASE)

# Where `modules_install` puts what is not the kernel's own: extra until 6.2.
uninstall:
	rm -f $(foreach m,umem/ib_umem.ko rxe/rdma_urxe.ko,$(foreach d,extra updates,\
		$(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)/$d/$m*))
	depmod -a $(DEPMOD_BASE) $(RELEASE)

clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) clean

lint:
	tools/lint/lint $(KERNELS)

demo:
	tools/demo/demo $(or $(KERNEL),6.1)

check:
	tools/check/check $(if $(QUICK),--quick) $(if $(TIME),--time $(TIME)) \
		$(if $(TESTS),--tests '$(TESTS)') $(KERNELS)

bench:
	tools/bench/bench $(if $(QUICK),--quick) $(if $(SCALING),--scaling) \
		$(if $(ROUNDS),--rounds=$(ROUNDS)) $(KERNELS)

kernels:
	tools/bench/kernels

cost:
	tools/cost/cost $(or $(KERNEL),6.1)

profile:
	tools/profile/profile $(or $(KERNEL),6.1) $(or $(TOOL),ib_write_lat) $(or $(SIZE),8)

selftest:
	tools/vm/selftest

.PHONY: modules install uninstall clean lint demo check bench kernels cost profile selftest
