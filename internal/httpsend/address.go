package httpsend

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// addressKind is what an address is, in words that complete "points to …".
type addressKind string

const (
	kindAllowed   addressKind = ""
	kindLoopback  addressKind = "a loopback address"
	kindPrivate   addressKind = "a private address"
	kindLinkLocal addressKind = "a link-local address"
	kindMetadata  addressKind = "a cloud metadata service"
	kindMulticast addressKind = "a multicast address"
	kindReserved  addressKind = "a reserved address"
	kindUnknown   addressKind = "an unknown kind of address"
)

var metadataIPv4 = netip.MustParseAddr("169.254.169.254")

// ranges are looked through in order; the first that holds an address names its kind. Sources: the IANA special-purpose
// address registries (RFC 6890) and the cloud providers' documentation for the metadata services.
var ranges = func() []addressRange {
	var out []addressRange
	for _, row := range []struct {
		kind     addressKind
		prefixes string
	}{
		{kindMetadata, "169.254.169.254/32 169.254.169.253/32 169.254.170.2/32 169.254.170.23/32 100.100.100.200/32 168.63.129.16/32 " +
			"192.0.0.192/32 fd00:ec2::254/128 fd00:ec2::253/128 fd00:ec2::23/128 fd20:ce::254/128"},
		{kindLoopback, "127.0.0.0/8 ::1/128"},
		{kindPrivate, "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7"},
		{kindLinkLocal, "169.254.0.0/16 fe80::/10"},
		{kindMulticast, "224.0.0.0/4 ff00::/8"},
		{kindReserved, "0.0.0.0/8 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 " +
			"2001::/23 2001:db8::/32 3fff::/20"},
		// IPv6 hands out global addresses from 2000::/3 only.
		{kindAllowed, "0.0.0.0/0 2000::/3"},
		{kindReserved, "::/0"},
	} {
		for prefix := range strings.FieldsSeq(row.prefixes) {
			out = append(out, addressRange{netip.MustParsePrefix(prefix), row.kind})
		}
	}
	return out
}()

type addressRange struct {
	prefix netip.Prefix
	kind   addressKind
}

// addressKindOf is the kind of the address and the address that decided it: an embedded one where there is one.
func addressKindOf(ip netip.Addr) (addressKind, netip.Addr) {
	inner, routed, ok := embedded(ip)
	if ok {
		if kind := rangeOf(inner); routed || kind != kindAllowed {
			return kind, inner
		}
	}
	return rangeOf(ip), ip
}

func rangeOf(ip netip.Addr) addressKind {
	for i := range ranges {
		if ranges[i].prefix.Contains(ip) {
			return ranges[i].kind
		}
	}
	return kindUnknown
}

// mechanisms are the ways in which an IPv6 address stands for an IPv4 address, at which the packets may end up.
var mechanisms = []struct {
	prefix netip.Prefix
	at     int  // where the IPv4 address begins
	flip   byte // what its bytes are combined with
	routed bool // it leads there from anywhere, so that the IPv4 address alone decides
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12, 0, true},     // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/96"), 12, 0, true},   // NAT64 in local use, RFC 8215; only in its usual form
	{netip.MustParsePrefix("2002::/16"), 2, 0, true},         // 6to4, RFC 3056
	{netip.MustParsePrefix("2001::/32"), 12, 0xff, false},    // Teredo, RFC 4380
	{netip.MustParsePrefix("::/96"), 12, 0, false},           // IPv4-compatible, RFC 4291 section 2.5.5.1
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, 0, false}, // IPv4-translated, RFC 2765
}

// embedded is the IPv4 address inside an IPv6 address.
func embedded(ip netip.Addr) (inner netip.Addr, routed, ok bool) {
	if !ip.Is6() || ip.IsUnspecified() || ip.IsLoopback() {
		return netip.Addr{}, false, false
	}
	bytes := ip.As16()
	take := func(at int, flip byte) netip.Addr {
		return netip.AddrFrom4([4]byte{bytes[at] ^ flip, bytes[at+1] ^ flip, bytes[at+2] ^ flip, bytes[at+3] ^ flip})
	}
	for i := range mechanisms {
		if m := &mechanisms[i]; m.prefix.Contains(ip) {
			return take(m.at, m.flip), m.routed, true
		}
	}
	if bytes[8]&^3 == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe { // ISATAP, RFC 5214 section 6.1
		return take(12, 0), false, true
	}
	return netip.Addr{}, false, false
}

// nameKind knows the names that stand for an address everywhere.
func nameKind(host string) addressKind {
	switch host {
	case "localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback":
		return kindLoopback
	case "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal":
		return kindMetadata
	}
	if strings.HasSuffix(host, ".localhost") { // RFC 6761 section 6.3
		return kindLoopback
	}
	return kindAllowed
}

// parseHostAddress reads a host that is an address in any form that some resolver accepts: IPv6, dotted decimal, and the
// forms of inet_aton with octal, hexadecimal and fewer parts (URL Standard, "IPv4 parser"). numeric is true when the host
// looks like an address, ok when it is one.
func parseHostAddress(host string) (ip netip.Addr, numeric, ok bool) {
	if strings.Contains(host, ":") {
		ip, err := netip.ParseAddr(host)
		return ip, true, err == nil
	}
	parts := strings.Split(host, ".")
	if !looksNumeric(parts[len(parts)-1]) {
		return netip.Addr{}, false, false
	}
	if len(parts) > 4 {
		return netip.Addr{}, true, false
	}
	var sum uint64
	for i, part := range parts {
		n, err := parsePart(part)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts)) // the last part fills what is left
		}
		if err != nil || n >= 1<<bits {
			return netip.Addr{}, true, false
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(sum)))), true, true
}

func looksNumeric(label string) bool {
	if label != "" && strings.Trim(label, "0123456789") == "" {
		return true
	}
	_, err := parsePart(label)
	return err == nil
}

func parsePart(part string) (uint64, error) {
	switch {
	case part == "0x":
		return 0, nil
	case strings.HasPrefix(part, "0x"):
		return strconv.ParseUint(part[2:], 16, 64)
	case len(part) > 1 && part[0] == '0':
		return strconv.ParseUint(part[1:], 8, 64)
	}
	return strconv.ParseUint(part, 10, 64)
}
