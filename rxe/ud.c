// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Unreliable datagrams.
 *
 * A QP has one path, which is aimed anew when a message goes elsewhere than the
 * one before it: messages to one destination in a row are one batch, by one route.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <rdma/ib_addr.h>
#include <rdma/ib_cache.h>

#include "batch.h"
#include "counters.h"
#include "link.h"
#include "ns.h"
#include "qp.h"
#include "resp.h"
#include "run.h"
#include "sg.h"
#include "ud.h"

/* A datagram's Q_Key with this bit is the sending QP's own. */
#define QKEY_OF_QP	BIT(31)

/* What the service level of a completion says; see header_type(). */
#define SL_IPV6		1
#define SL_IPV4		2
#define SL_UDP		8

/* --- sending ------------------------------------------------------------ */

/* Bytes that fit into one packet now; none if the NIC's MTU is below all. */
static u32 max_message(const struct urxe_dev *dev)
{
	enum ib_mtu mtu = iboe_get_mtu(READ_ONCE(dev->nic->mtu));

	return mtu ? ib_mtu_enum_to_int(mtu) : 0;
}

enum ib_wc_status urxe_ud_aim(struct urxe_qp *qp, struct urxe_batch *batch,
			      const struct urxe_wqe *wqe)
{
	const struct urxe_dest *dest = &wqe->dest;
	u16 sport = rdma_get_udp_sport(dest->av.flow_label, qp->ibqp.qp_num,
				       dest->qpn);

	if (wqe->length > max_message(qp->dev))
		return IB_WC_LOC_LEN_ERR;
	if (batch->dqpn != dest->qpn)
		urxe_batch_turn(batch, dest->qpn);
	if (qp->path.sport != sport ||
	    memcmp(&qp->path.av, &dest->av, sizeof(dest->av))) {
		urxe_batch_turn(batch, dest->qpn);
		urxe_path_set(&qp->path, &dest->av, qp->ibqp.qp_num, dest->qpn);
	}
	return IB_WC_SUCCESS;
}

void *urxe_ud_put_deth(void *at, const struct urxe_qp *qp,
		       const struct urxe_dest *dest)
{
	struct urxe_deth *deth = at;

	deth->qkey = htonl(dest->qkey & QKEY_OF_QP ? qp->attr.qkey :
						     dest->qkey);
	deth->sqpn = htonl(qp->ibqp.qp_num);
	return deth + 1;
}

/* --- receiving ---------------------------------------------------------- */

/*
 * What stands before the payload in the receiver's memory: the IP header, as the
 * packet had it when it was on its own; an IPv4 header at the end, behind zeros.
 */
static void make_grh(union rdma_network_hdr *hdr, const struct urxe_pkt *pkt)
{
	u16 udp_len = sizeof(struct udphdr) + urxe_hdr_len(pkt->bth.opcode) +
		      pkt->len + bth_pad(&pkt->bth) + URXE_ICRC_LEN;
	struct iphdr *iph = &hdr->roce4grh;

	if (pkt->skb->protocol == htons(ETH_P_IPV6)) {
		hdr->ibgrh = *(struct ib_grh *)ipv6_hdr(pkt->skb);
		hdr->ibgrh.paylen = htons(udp_len);
		return;
	}
	memset(hdr, 0, sizeof(*hdr));
	*iph = *ip_hdr(pkt->skb);
	iph->ihl = sizeof(*iph) / 4;
	iph->tot_len = htons(sizeof(*iph) + udp_len);
	ip_send_check(iph);
}

static const struct ib_gid_attr *find_gid(struct urxe_dev *dev,
					  const union ib_gid *gid,
					  struct net_device *ndev)
{
	return rdma_find_gid_by_port(&dev->ibdev, gid,
				     IB_GID_TYPE_ROCE_UDP_ENCAP, 1, ndev);
}

/*
 * IBTA 9.6.1.2: a datagram comes to an address of the port, or to a group's and its
 * QP number; whether that is one of ours mcast.c has looked.
 */
bool urxe_ud_is_ours(const struct urxe_qp *qp, struct sk_buff *skb)
{
	struct urxe_bth bth;
	union ib_gid gid;

	if (!urxe_skb_bth(skb, urxe_run(skb)->off, &bth))
		return false;
	if (bth_qpn(&bth) == IB_MULTICAST_QPN)
		return true;
	urxe_skb_dgid(skb, &gid);
	return urxe_link_has_address(qp->dev, &gid);
}

/*
 * The VLAN of the address that the packet came to, or VLAN_N_VID or more: a
 * link-local address may be there more than once, and then the interface tells;
 * what comes from this host itself has come in by another, though.
 */
static u16 vlan_of(struct urxe_dev *dev, struct sk_buff *skb)
{
	const struct ib_gid_attr *attr;
	u16 vlan = VLAN_N_VID;
	union ib_gid gid;

	urxe_skb_dgid(skb, &gid);
	rcu_read_lock();
	attr = find_gid(dev, &gid, dev_get_by_index_rcu(dev->ns->net,
							urxe_run(skb)->iif));
	rcu_read_unlock();
	if (IS_ERR(attr))
		attr = find_gid(dev, &gid, NULL);
	if (IS_ERR(attr))
		return vlan;
	rdma_read_gid_l2_fields(attr, &vlan, NULL);
	rdma_put_gid_attr(attr);
	return vlan;
}

/* What only the kernel's own consumers, such as ib_cm, are told. */
static void add_link_layer(struct ib_wc *wc, struct urxe_dev *dev,
			   struct sk_buff *skb)
{
	u16 vlan = vlan_of(dev, skb);

	wc->network_hdr_type = skb->protocol == htons(ETH_P_IP) ?
			       RDMA_NETWORK_IPV4 : RDMA_NETWORK_IPV6;
	wc->wc_flags |= IB_WC_WITH_NETWORK_HDR_TYPE;
	if (vlan < VLAN_N_VID) {
		wc->vlan_id = vlan;
		wc->wc_flags |= IB_WC_WITH_VLAN;
	}
	if (skb_mac_header_was_set(skb) && skb->mac_len >= ETH_HLEN &&
	    is_valid_ether_addr(eth_hdr(skb)->h_source)) {
		ether_addr_copy(wc->smac, eth_hdr(skb)->h_source);
		wc->wc_flags |= IB_WC_WITH_SMAC;
	}
}

/*
 * Whether what stands before the payload is an IPv4 or an IPv6 header (IBTA A17.4.5.1).
 * A program's completion has no field for that; RoCE NICs tell by the service level,
 * which means nothing here, and UCX asks them: the type of the header, and that UDP
 * follows.
 */
static u8 header_type(const struct sk_buff *skb)
{
	return skb->protocol == htons(ETH_P_IP) ? SL_IPV4 | SL_UDP :
						  SL_IPV6 | SL_UDP;
}

static void post_completion(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	const struct urxe_deth *deth = pkt_ext(pkt);
	struct ib_wc wc = {
		.status = IB_WC_SUCCESS,
		.opcode = IB_WC_RECV,
		.src_qp = ntohl(deth->sqpn) & BTH_24BITS,
		.byte_len = sizeof(struct ib_grh) + pkt->len,
		.wc_flags = IB_WC_GRH,
	};

	if (qp_is_user(qp))
		wc.sl = header_type(pkt->skb);
	else
		add_link_layer(&wc, qp->dev, pkt->skb);
	urxe_resp_complete(qp, &wc, pkt);
}

static int take_in(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		   struct urxe_ctx *ctx)
{
	const struct urxe_rqe *rqe = &qp->resp.rqe;
	union rdma_network_hdr hdr;

	make_grh(&hdr, pkt);
	return urxe_sg_write(qp_recv_pd(qp), rqe->sge, rqe->num_sge, 0, &hdr,
			     sizeof(hdr), ctx) ?:
	       urxe_pkt_to_sg(pkt, qp_recv_pd(qp), rqe->sge, rqe->num_sge,
			      sizeof(hdr), ctx);
}

static int drop(struct urxe_qp *qp, enum urxe_counter why)
{
	urxe_count(qp->dev, why);
	return 0;
}

int urxe_ud_request(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		    struct urxe_ctx *ctx)
{
	const struct urxe_deth *deth = pkt_ext(pkt);
	int err;

	if (ntohl(deth->qkey) != qp->attr.qkey)
		return drop(qp, URXE_CNT_DROP_QKEY);
	err = urxe_resp_get_rqe(qp, sizeof(struct ib_grh) + pkt->len, ctx);
	if (err == FAIL_RNR)
		return drop(qp, URXE_CNT_DROP_NO_RQE);
	if (err == FAIL_INV_REQ)
		return drop(qp, URXE_CNT_DROP_REFUSED);
	if (err)
		return err;
	err = take_in(qp, pkt, ctx);
	if (err == -EAGAIN)
		return err;
	if (err)
		return urxe_resp_fail_rqe(qp, ctx, IB_WC_LOC_PROT_ERR, 0);
	post_completion(qp, pkt);
	return 0;
}
