// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Two platform devices that do DMA: one records what it is asked to map, the
 * other takes the kernel's direct mapping.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>

#include "test.h"

#if defined(CONFIG_DMA_OPS) || defined(CONFIG_ARCH_HAS_DMA_OPS)
#define CAN_RECORD 1
#else
#define CAN_RECORD 0
#endif

struct umem_test_dma umem_test_dma;

static struct platform_device *recorded, *direct;
static u64 dma_mask = DMA_BIT_MASK(64);
static struct device_dma_parameters recorded_parms;

static int record_map(struct device *dev, struct scatterlist *sgl, int n,
		      enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *sg;
	int i;

	if (umem_test_dma.fail) {
		umem_test_dma.fail = false;
		return -ENOMEM;
	}
	umem_test_dma.maps++;
	umem_test_dma.map_attrs = attrs;
	umem_test_dma.dir = dir;
	for_each_sg(sgl, sg, n, i) {
		sg_dma_address(sg) = sg_phys(sg) ^ BIT_ULL(62);
		sg_dma_len(sg) = sg->length;
	}
	return n;
}

static void record_unmap(struct device *dev, struct scatterlist *sgl, int n,
			 enum dma_data_direction dir, unsigned long attrs)
{
	umem_test_dma.unmaps++;
	umem_test_dma.unmap_attrs = attrs;
}

static const struct dma_map_ops record_ops = {
	.map_sg		= record_map,
	.unmap_sg	= record_unmap,
};

struct device *umem_test_recorded(void)
{
	return CAN_RECORD ? &recorded->dev : NULL;
}

struct device *umem_test_direct(void)
{
	return &direct->dev;
}

void umem_test_set_max_seg(unsigned int bytes)
{
	recorded_parms.max_segment_size = bytes;
}

static struct platform_device *make_device(int id)
{
	struct platform_device *pdev;

	pdev = platform_device_register_simple("umem_test", id, NULL, 0);
	if (!IS_ERR(pdev)) {
		pdev->dev.dma_mask = &dma_mask;
		pdev->dev.coherent_dma_mask = dma_mask;
	}
	return pdev;
}

/* KUnit may run the cases before the module's own init. */
int umem_test_dma_init(void)
{
	struct platform_device *pdev;

	if (direct)
		return 0;
	recorded = make_device(0);
	if (IS_ERR(recorded))
		return PTR_ERR(recorded);
	pdev = make_device(1);
	if (IS_ERR(pdev)) {
		platform_device_unregister(recorded);
		return PTR_ERR(pdev);
	}
	direct = pdev;
	umem_test_set_max_seg(SZ_2G);
	recorded->dev.dma_parms = &recorded_parms;
	set_dma_ops(&recorded->dev, &record_ops);
	return 0;
}

void umem_test_dma_exit(void)
{
	platform_device_unregister(direct);
	platform_device_unregister(recorded);
}
