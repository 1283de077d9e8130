package httpsend

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

var errNotDialled = errors.New("the test lets nothing connect")

// dialled makes a sender under the policy that connects to nothing and tells which addresses it would have connected to.
func dialled(t testing.TB, c Config) (s *Sender, addresses func() []string) {
	t.Helper()
	s = New(c)
	t.Cleanup(s.Close)
	var mu sync.Mutex
	var seen []string
	s.dialer.connecting = func(resolved string) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, resolved)
		return errNotDialled
	}
	return s, func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := seen
		seen = nil
		return out
	}
}

// lenient resolves like the resolvers that read a host as inet_aton does, and knows the names that stand for addresses.
func lenient(name string) []netip.Addr {
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	if ip, numeric, ok := parseHostAddress(host); numeric {
		if !ok {
			return nil
		}
		return []netip.Addr{ip}
	}
	switch nameKind(host) {
	case kindLoopback:
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	case kindMetadata:
		return []netip.Addr{metadataIPv4}
	default:
		return []netip.Addr{netip.MustParseAddr("93.184.215.14")}
	}
}

func ipv6Works() bool {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		_ = listener.Close()
	}
	return err == nil
}

// Every host of the table at connect time: under its own name, and behind a name that says nothing.
func TestD50_EveryHostAtDial(t *testing.T) {
	t.Parallel()
	require.Greater(t, len(hosts), 150)
	v6 := ipv6Works()
	var hidden atomic.Pointer[netip.Addr]
	s, addresses := dialled(t, Config{resolver: nameServerFunc(t, func(name string) []netip.Addr {
		if name == "hidden.test." {
			return []netip.Addr{*hidden.Load()}
		}
		return lenient(name)
	})})
	blocked, allowed := 0, 0
	dial := func(url string, kind addressKind, is6 bool) {
		t.Helper()
		a := send(t, s, newWebhook(url))
		reached := addresses()
		switch {
		case is6 && !v6:
			require.True(t, kind == kindAllowed || len(reached) == 0, url)
		case a.ErrorClass == holdfast.ClassDNS: // a form that Go's resolver does not take
			require.NotContains(t, url, "hidden.test")
			require.Empty(t, reached, url)
		case kind == kindAllowed:
			require.NotEmpty(t, reached, "%s: %s", url, a.ErrorMessage)
			allowed++
		default:
			require.Empty(t, reached, url)
			requireFailure(t, a, holdfast.ClassBlocked, 0, "the host resolves to "+string(kind)+", which the address policy does not allow")
			blocked++
		}
	}
	for _, h := range hosts {
		dial("http://"+h.host+"/", h.kind, strings.HasPrefix(h.host, "["))
		ip, numeric, ok := parseHostAddress(strings.Trim(strings.ReplaceAll(h.host, "%25", "%"), "[]"))
		if !numeric || !ok || ip.Zone() != "" {
			continue
		}
		hidden.Store(&ip)
		// An IPv4-mapped address comes out of a resolver as what it is.
		dial("http://hidden.test/", h.kind, ip.Is6())
	}
	// A mapped address with a zone is none that could be judged once net has written it down, so it is refused.
	a := send(t, s, newWebhook("http://[::ffff:127.0.0.1%25lo]/"))
	require.Equal(t, holdfast.ClassBlocked, a.ErrorClass)
	require.Empty(t, addresses())
	require.Error(t, AddressPolicy{}.Check("http://[::ffff:127.0.0.1%25lo]/"))
	require.Greater(t, allowed, 20)
	require.Greater(t, blocked, 100)
}

// A name that is fine when it is registered and becomes something else later gains nothing.
func TestD50_RebindingIsStoppedAtConnect(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[[]netip.Addr]
	s, addresses := dialled(t, Config{resolver: nameServerFunc(t, func(string) []netip.Addr { return *now.Load() })})
	point := func(to ...string) {
		ips := make([]netip.Addr, len(to))
		for i, text := range to {
			ips[i] = netip.MustParseAddr(text)
		}
		now.Store(&ips)
	}
	const url = "http://rebound.test/"
	point("93.184.215.14")
	require.NoError(t, s.CheckResolved(t.Context(), url))
	require.Equal(t, holdfast.ClassConnect, send(t, s, newWebhook(url)).ErrorClass)
	require.Equal(t, []string{"93.184.215.14:80"}, addresses())
	for target, kind := range map[string]addressKind{"127.0.0.1": kindLoopback, "169.254.169.254": kindMetadata, "10.0.0.1": kindPrivate, "0.0.0.0": kindReserved} {
		point(target)
		for range 2 {
			a := send(t, s, newWebhook(url))
			requireFailure(t, a, holdfast.ClassBlocked, 0, "the host resolves to "+string(kind)+", which the address policy does not allow")
		}
		requireViolation(t, s.CheckResolved(t.Context(), url), "url", "resolves to "+string(kind)+", which the address policy does not allow")
	}
	require.Empty(t, addresses())

	// One good address among bad ones: only that one is used, and registration wants all of them good.
	point("10.0.0.1", "93.184.215.14", "127.0.0.1")
	send(t, s, newWebhook(url))
	require.Equal(t, []string{"93.184.215.14:80"}, addresses())
	require.Error(t, s.CheckResolved(t.Context(), url))
}

func TestD50_ResolvedCheckAtRegistration(t *testing.T) {
	t.Parallel()
	own := AddressPolicy{OwnBaseURL: "http://self.test:3332"}
	s, _ := dialled(t, Config{Policy: own, resolver: nameServer(t, map[string][4]byte{
		"good.test.": {93, 184, 215, 14}, "self.test.": {127, 0, 0, 1}, "xn--bcher-kva.test.": {10, 0, 0, 1},
	})})
	for _, url := range []string{"https://good.test/", "http://self.test:3332/x", "http://8.8.8.8/", "http://unknown.test/", "http://134744072/"} {
		require.NoError(t, s.CheckResolved(t.Context(), url), url)
	}
	requireViolation(t, s.CheckResolved(t.Context(), "http://self.test/"), "url", "resolves to a loopback address, which the address policy does not allow")
	requireViolation(t, s.CheckResolved(t.Context(), "http://bücher.test/"), "url", "resolves to a private address, which the address policy does not allow")
	requireViolation(t, s.CheckResolved(t.Context(), "http://127.1/"), "url", "points to a loopback address, which the address policy does not allow")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.CheckResolved(ctx, "http://good.test/")
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	require.ErrorIs(t, err, context.Canceled)

	open, _ := dialled(t, Config{Policy: AddressPolicy{AllowLoopback: true, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}},
		resolver: nameServer(t, map[string][4]byte{"a.test.": {127, 0, 0, 1}, "b.test.": {10, 0, 0, 1}, "c.test.": {10, 0, 1, 1}})})
	require.NoError(t, open.CheckResolved(t.Context(), "http://a.test/"))
	require.NoError(t, open.CheckResolved(t.Context(), "http://b.test/"))
	require.Error(t, open.CheckResolved(t.Context(), "http://c.test/"))
}

// A range that allows the outside of an embedded metadata address must not open it.
func TestD50_AllowedRangesDoNotOpenEmbeddedMetadata(t *testing.T) {
	t.Parallel()
	p := AddressPolicy{Allow: []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("0.0.0.0/0")}}
	for _, host := range []string{
		"169.254.169.254", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[::169.254.169.254]",
		"[::ffff:169.254.169.254]", "[::ffff:0:a9fe:a9fe]", "[2001:0:808:808:0:0:5601:5601]", "[2606:4700::5efe:a9fe:a9fe]", "[fd00:ec2::254]",
	} {
		require.Error(t, p.Check("http://"+host+"/"), host)
	}
	require.NoError(t, p.Check("http://[64:ff9b::a00:1]/"))
	require.NoError(t, p.Check("http://[::10.0.0.1]/"))
}

// forbidden knows addresses by other means than the policy: the standard library's predicates and a plain list.
func forbidden(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.IsInterfaceLocalMulticast() {
		return true
	}
	b := ip.As16()
	inside := func(text string) bool { return netip.MustParsePrefix(text).Contains(ip) }
	switch {
	case ip.Is4():
		return slices.ContainsFunc([]string{
			"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "168.63.129.16/32",
		}, inside)
	case inside("64:ff9b::/96"), inside("64:ff9b:1::/96"):
		return forbidden(netip.AddrFrom4([4]byte(b[12:])))
	case inside("2002::/16"):
		return forbidden(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return b[0]>>5 != 1 || inside("2001:db8::/32") || inside("2001::/32")
}

func FuzzNothingForbiddenIsDialled(f *testing.F) {
	for i, h := range hosts {
		f.Add(h.host, []byte{byte(i), 0, 0, 1})
		if ip, _, ok := parseHostAddress(strings.Trim(h.host, "[]")); ok {
			f.Add("hidden.test", ip.AsSlice())
		}
	}
	for _, h := range []string{"127.0.0.1%00", "[::1]%25", "127.0.0.1:80@8.8.8.8", "8.8.8.8#@127.0.0.1", "8.8.8.8\\@127.0.0.1", "①", "0x", "%6c"} {
		f.Add(h, []byte{127, 0, 0, 1})
	}
	var answer atomic.Pointer[netip.Addr]
	s, addresses := dialled(f, Config{Timeout: short, resolver: nameServerFunc(f, func(name string) []netip.Addr {
		if ip := answer.Load(); ip.IsValid() {
			return []netip.Addr{*ip}
		}
		return lenient(name)
	})})
	f.Fuzz(func(t *testing.T, host string, resolved []byte) {
		ip, _ := netip.AddrFromSlice(resolved)
		ip = ip.Unmap()
		answer.Store(&ip) // none when it is no address: then the resolver is lenient
		url := "http://" + host + "/"
		if (AddressPolicy{}).Check(url) == nil {
			if literal, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
				require.False(t, forbidden(literal), host)
			}
		}
		w := newWebhook(url)
		_, err := s.Send(t.Context(), w, newEvent(), 1)
		require.NoError(t, err)
		for _, reached := range addresses() {
			target, err := netip.ParseAddrPort(reached)
			require.NoError(t, err)
			require.False(t, forbidden(target.Addr()), "%q reached %s", host, reached)
		}
	})
}
