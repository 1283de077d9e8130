package httpsend

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// hosts lists hosts of URLs and the kind of address each is in truth.
var hosts = []struct {
	host string
	kind addressKind
}{
	{"example.com", kindAllowed}, {"93.184.215.14", kindAllowed}, {"8.8.8.8", kindAllowed}, {"1.1.1.1.", kindAllowed},
	{"172.15.255.255", kindAllowed}, {"172.32.0.1", kindAllowed}, {"100.63.255.255", kindAllowed}, {"100.128.0.0", kindAllowed},
	{"134744072", kindAllowed}, {"0x8.0x8.0x8.0x8", kindAllowed}, {"[2606:4700:4700::1111]", kindAllowed},
	{"[::ffff:8.8.8.8]", kindAllowed}, {"[64:ff9b::808:808]", kindAllowed}, {"[2002:808:808::1]", kindAllowed},
	{"xn--bcher-kva.example", kindAllowed}, {"bücher.example", kindAllowed}, {"localhost.example.com", kindAllowed},
	{"127.0.0.1.example.com", kindAllowed}, {"1e100.net", kindAllowed},

	{"localhost", kindLoopback}, {"LOCALHOST", kindLoopback}, {"localhost.", kindLoopback}, {"foo.localhost", kindLoopback},
	{"localhost.localdomain", kindLoopback}, {"ip6-localhost", kindLoopback},
	{"127.0.0.1", kindLoopback}, {"127.0.0.1.", kindLoopback}, {"127.255.255.254", kindLoopback}, {"127.1", kindLoopback},
	{"127.0.1", kindLoopback}, {"2130706433", kindLoopback}, {"0x7f000001", kindLoopback}, {"0x7f.1", kindLoopback},
	{"0X7F.0.0.1", kindLoopback}, {"0177.0.0.1", kindLoopback}, {"017700000001", kindLoopback}, {"127.0x0.0.01", kindLoopback},
	{"127.0.0.0x", kindLoopback}, {"１２７.０.０.１", kindLoopback}, {"127。0。0。1", kindLoopback}, {"①②⑦.0.0.1", kindLoopback},
	{"[::1]", kindLoopback}, {"[0:0:0:0:0:0:0:1]", kindLoopback}, {"[::ffff:127.0.0.1]", kindLoopback}, {"[::ffff:7f00:1]", kindLoopback},
	{"[64:ff9b::127.0.0.1]", kindLoopback}, {"[64:ff9b::7f00:1]", kindLoopback}, {"[2002:7f00:1::]", kindLoopback},

	{"10.0.0.1", kindPrivate}, {"10.1", kindPrivate}, {"167772161", kindPrivate}, {"172.16.0.1", kindPrivate}, {"172.31.255.255", kindPrivate},
	{"192.168.1.1", kindPrivate}, {"192.168.257", kindPrivate}, {"100.64.0.1", kindPrivate}, {"100.127.255.255", kindPrivate}, {"[fc00::1]", kindPrivate},
	{"[fd12:3456::1]", kindPrivate}, {"[::ffff:10.0.0.1]", kindPrivate}, {"[2002:a00:1::]", kindPrivate}, {"[64:ff9b::a00:1]", kindPrivate},

	{"169.254.1.1", kindLinkLocal}, {"[fe80::1]", kindLinkLocal}, {"[fe80::1%25eth0]", kindLinkLocal}, {"[febf::1]", kindLinkLocal},

	{"169.254.169.254", kindMetadata}, {"2852039166", kindMetadata}, {"0xa9fea9fe", kindMetadata}, {"0251.0376.0251.0376", kindMetadata},
	{"169.254.43518", kindMetadata}, {"[fd00:ec2::254]", kindMetadata}, {"[::ffff:169.254.169.254]", kindMetadata},
	{"[64:ff9b::a9fe:a9fe]", kindMetadata}, {"[2002:a9fe:a9fe::]", kindMetadata}, {"169.254.170.2", kindMetadata}, {"100.100.100.200", kindMetadata},
	{"168.63.129.16", kindMetadata}, {"metadata.google.internal", kindMetadata}, {"Metadata.Google.Internal.", kindMetadata}, {"instance-data", kindMetadata},

	{"224.0.0.1", kindMulticast}, {"239.255.255.250", kindMulticast}, {"[ff02::1]", kindMulticast},

	{"0.0.0.0", kindReserved}, {"0", kindReserved}, {"0x0", kindReserved}, {"255.255.255.255", kindReserved}, {"4294967295", kindReserved},
	{"240.0.0.1", kindReserved}, {"192.0.2.1", kindReserved}, {"198.18.0.1", kindReserved}, {"198.51.100.1", kindReserved}, {"203.0.113.1", kindReserved},
	{"[::]", kindReserved}, {"[2001:db8::1]", kindReserved}, {"[100::1]", kindReserved}, {"[fec0::1]", kindReserved}, {"[3fff::1]", kindReserved},
	{"[5f00::1]", kindReserved}, {"192.0.0.8", kindReserved}, {"192.88.99.1", kindReserved}, {"198.19.255.255", kindReserved},
	{"0.255.255.255", kindReserved}, {"254.255.255.255", kindReserved}, {"[4000::1]", kindReserved}, {"[2001:2::1]", kindReserved},

	// Addresses inside addresses. NAT64 and 6to4 lead to them from anywhere; of the others, public ones are refused too.
	{"[64:ff9b:1::7f00:1]", kindLoopback}, {"[64:ff9b:1::10.0.0.1]", kindPrivate}, {"[64:ff9b:1::a9fe:a9fe]", kindMetadata},
	{"[64:ff9b:1::808:808]", kindAllowed}, {"[64:ff9b:1:7f00:0:100::]", kindReserved}, {"[64:ff9b:1:a00:0:100::]", kindReserved},
	{"[64:ff9b::e000:1]", kindMulticast}, {"[64:ff9b::]", kindReserved}, {"[64:ff9b::6440:1]", kindPrivate},
	{"[2002:c0a8:101::1]", kindPrivate}, {"[2002:a9fe:101::1]", kindLinkLocal}, {"[2002:e000:1::]", kindMulticast}, {"[2002::1]", kindReserved},
	{"[::127.0.0.1]", kindLoopback}, {"[::10.0.0.1]", kindPrivate}, {"[::169.254.169.254]", kindMetadata}, {"[::8.8.8.8]", kindReserved},
	{"[::ffff:0:127.0.0.1]", kindLoopback}, {"[::ffff:0:192.168.0.1]", kindPrivate}, {"[::ffff:0:808:808]", kindReserved},
	{"[2001::1]", kindReserved},                      // Teredo with the client 255.255.255.254
	{"[2001:0:808:808:0:0:80ff:fffe]", kindLoopback}, // Teredo with the client 127.0.0.1
	{"[2001:0:808:808:0:0:f5ff:fffe]", kindPrivate},  // 10.0.0.1
	{"[2001:0:808:808:0:0:5601:5601]", kindMetadata}, // 169.254.169.254
	{"[2001:0:808:808:0:0:f7f7:f7f7]", kindReserved}, // 8.8.8.8
	{"[2606:4700::5efe:127.0.0.1]", kindLoopback},    // ISATAP
	{"[2606:4700::200:5efe:10.0.0.1]", kindPrivate},  // ISATAP, global
	{"[2606:4700::5efe:8.8.8.8]", kindAllowed},       // ISATAP with a public address under a public prefix
	{"[fe80::5efe:8.8.8.8]", kindLinkLocal},          // and under one that is not
	{"[::ffff:100.64.0.1]", kindPrivate}, {"[::ffff:0.0.0.0]", kindReserved}, {"[::ffff:224.0.0.1]", kindMulticast},
	{"[fe80::1%25lo]", kindLinkLocal},

	// Characters that lookups take for others, or drop.
	{"localhost。", kindLoopback}, {"foo。localhost", kindLoopback}, {"loc\u00adalhost", kindLoopback}, {"ＬＯＣＡＬＨＯＳＴ", kindLoopback},
	{"ⓛocalhost", kindLoopback}, {"169｡254｡169｡254", kindMetadata}, {"metadata。google。internal", kindMetadata}, {"１０.1", kindPrivate},
	{"a.b.localhost.", kindLoopback}, {"ip6-loopback", kindLoopback}, {"localhost6", kindLoopback},
}

func requireRefused(t *testing.T, err error, text, url string) {
	t.Helper()
	require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err), url)
	var e *holdfast.Error
	require.ErrorAs(t, err, &e, url)
	require.Len(t, e.Violations, 1, url)
	require.Equal(t, "url", e.Violations[0].Field, url)
	require.Contains(t, e.Violations[0].Description, text, url)
}

func TestD50_AddressesInEveryForm(t *testing.T) {
	t.Parallel()
	policies := []struct {
		policy  AddressPolicy
		allowed []addressKind
	}{
		{AddressPolicy{}, nil},
		{AddressPolicy{AllowLoopback: true}, []addressKind{kindLoopback}},
		{AddressPolicy{AllowPrivate: true}, []addressKind{kindPrivate}},
		{AddressPolicy{AllowLoopback: true, AllowPrivate: true}, []addressKind{kindLoopback, kindPrivate}},
	}
	for _, p := range policies {
		for _, h := range hosts {
			for _, url := range []string{"http://" + h.host + "/x", "https://" + h.host + ":8443"} {
				err := p.policy.Check(url)
				allowed := h.kind == kindAllowed
				for _, kind := range p.allowed {
					allowed = allowed || kind == h.kind
				}
				if allowed {
					require.NoError(t, err, url)
				} else {
					requireRefused(t, err, string(h.kind), url)
				}
			}
		}
	}
}

// The verdict at connect time is the one at registration, for every address that has one.
func TestD50_ControlAgreesWithCheck(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, h := range hosts {
		host := strings.Trim(strings.ReplaceAll(h.host, "%25", "%"), "[]")
		if _, err := netip.ParseAddr(host); err != nil {
			continue
		}
		checked++
		err := AddressPolicy{}.Control("tcp", net.JoinHostPort(host, "80"), nil)
		if h.kind == kindAllowed {
			require.NoError(t, err, h.host)
			continue
		}
		require.ErrorContains(t, err, string(h.kind), h.host)
		require.NotContains(t, err.Error(), host, "the caller must not learn what a name resolves to")
	}
	require.Greater(t, checked, 80)
	require.Error(t, AddressPolicy{}.Control("tcp", "no address", nil))
}

func TestD50_HostsThatAreNone(t *testing.T) {
	t.Parallel()
	for url, text := range map[string]string{
		"http://256.0.0.1/":         "looks like an address",
		"http://1.2.3.4.5/":         "looks like an address",
		"http://4294967296/":        "looks like an address",
		"http://127.0.0.09/":        "looks like an address",
		"http://a.0x7g.0x7f/":       "looks like an address",
		"http://1.2.3.0x100/":       "looks like an address",
		"http://127..1/":            "looks like an address",
		"http:///x":                 "is not a valid URL",
		"http://[::1/":              "is not a valid URL",
		"http://%31%32%37.0.0.1":    "is not a valid URL",
		"http://./":                 "does not name a valid host",
		"http://../":                "does not name a valid host",
		"http://localhost../":       "does not name a valid host",
		"http://.localhost/":        "does not name a valid host",
		"http://127.0.0.1../":       "does not name a valid host",
		"http://example.com:0/":     "names a port",
		"http://example.com:65536/": "names a port",
		"":                          "is not a valid URL",
	} {
		requireRefused(t, AddressPolicy{AllowLoopback: true, AllowPrivate: true}.Check(url), text, url)
	}
}

func TestD50_AllowedRanges(t *testing.T) {
	t.Parallel()
	p := AddressPolicy{Allow: []netip.Prefix{
		netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16"), netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("0.0.0.0/1"),
	}}
	for _, host := range []string{"10.1.2.3", "[fd12::1]", "198.18.0.1", "[::ffff:10.1.2.3]", "[64:ff9b::a01:203]", "169.254.1.1", "127.0.0.1"} {
		require.NoError(t, p.Check("http://"+host), host)
	}
	for _, host := range []string{"192.168.2.3", "[fd13::1]", "169.254.169.254", "100.100.100.200", "metadata.google.internal", "localhost"} {
		require.Error(t, p.Check("http://"+host), host)
	}
	p.Allow = append(p.Allow, netip.MustParsePrefix("169.254.169.254/32"))
	for _, host := range []string{"169.254.169.254", "metadata.google.internal", "[64:ff9b::a9fe:a9fe]"} {
		require.NoError(t, p.Check("http://"+host), host)
	}
}

func TestD50_OwnBaseURLIsAllowed(t *testing.T) {
	t.Parallel()
	p := AddressPolicy{OwnBaseURL: "http://LocalHost:3332/base"}
	require.NoError(t, p.Check("http://localhost:3332/test-receivers/x/webhook"))
	require.NoError(t, p.Check("http://LOCALHOST:3332/"))
	for _, url := range []string{"http://localhost:3333/", "http://localhost/", "http://127.0.0.1:3332/", "http://x.localhost:3332/"} {
		require.Error(t, p.Check(url), url)
	}
	p.OwnBaseURL = "https://10.0.0.1"
	require.NoError(t, p.Check("https://10.0.0.1/x"))
	require.NoError(t, p.Check("https://10.0.0.1:443/x"))
	require.Error(t, p.Check("http://10.0.0.1/x"))
	require.NoError(t, p.Control("tcp4", "10.0.0.1:443", nil))
	require.Error(t, p.Control("tcp4", "10.0.0.1:80", nil))
}

// A name passes registration whatever it resolves to; the connection is what counts.
func TestD50_ResolvedAddressIsCheckedAtConnect(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 10)
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { reached <- r.Host })
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	resolver := nameServer(t, map[string][4]byte{
		"rebound.test.": {127, 0, 0, 1}, "inner.test.": {10, 0, 0, 5}, "meta.test.": {169, 254, 169, 254}, "self.test.": {127, 0, 0, 1},
	})
	policy := AddressPolicy{OwnBaseURL: "http://self.test" + port}
	s := New(Config{Policy: policy, resolver: resolver})
	t.Cleanup(s.Close)
	for host, kind := range map[string]addressKind{
		"rebound.test": kindLoopback, "inner.test": kindPrivate, "meta.test": kindMetadata, "127.0.0.1": kindLoopback, "[::ffff:127.0.0.1]": kindLoopback,
	} {
		if strings.HasSuffix(host, ".test") {
			require.NoError(t, policy.Check("http://"+host+port))
		}
		for _, scheme := range []string{"http://", "https://"} {
			a := send(t, s, newWebhook(scheme+host+port))
			requireFailure(t, a, holdfast.ClassBlocked, 0, "the host resolves to "+string(kind)+", which the address policy does not allow")
		}
	}
	require.Empty(t, reached)
	a := send(t, s, newWebhook("http://self.test"+port))
	require.True(t, a.Success, a.ErrorMessage)
	require.Equal(t, "self.test"+port, <-reached)
}
