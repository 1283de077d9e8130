package httpsend

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/net/idna"

	"github.com/emprops/holdfast"
)

// AddressPolicy says which addresses webhooks may be sent to (D50). The zero value allows public addresses only. It is
// checked on the URL at registration and on the resolved address at every connect, so that a name that changes its
// address meanwhile gains nothing.
type AddressPolicy struct {
	// AllowLoopback allows 127.0.0.0/8, ::1 and the names for them.
	AllowLoopback bool
	// AllowPrivate allows the private networks of RFC 1918, RFC 6598 and RFC 4193. Link-local and metadata addresses
	// stay refused.
	AllowPrivate bool
	// Allow lists ranges that are allowed whatever else they are. The address of a cloud metadata service is allowed only
	// by a prefix of just that address: whoever allows 0.0.0.0/0 hardly means to give away credentials.
	Allow []netip.Prefix
	// OwnBaseURL is where this service is reached; its host and port are always allowed, for the test receivers.
	OwnBaseURL string
}

// Check decides about the URL of a registration. A forbidden one is a CodeInvalid error with a violation of the field
// "url". Names are not resolved here: their addresses are checked when they are used.
func (p AddressPolicy) Check(rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return invalidURL("is not a valid URL with a host")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return invalidURL("names a port that does not exist")
		}
	}
	if p.owns(hostPort(u)) {
		return nil
	}
	host, ok := asciiHost(u.Hostname())
	if !ok {
		return invalidURL("does not name a valid host")
	}
	kind := nameKind(host)
	ip, numeric, ok := parseHostAddress(host)
	if numeric {
		if !ok {
			return invalidURL("names a host that looks like an address but is none")
		}
		kind = p.refusal(ip)
	}
	switch {
	case kind == kindLoopback && p.AllowLoopback, kind == kindMetadata && !numeric && p.refusal(metadataIPv4) == kindAllowed:
		kind = kindAllowed
	}
	if kind != kindAllowed {
		return invalidURL(fmt.Sprintf("points to %s, which the address policy does not allow", kind))
	}
	return nil
}

func invalidURL(text string) error {
	return holdfast.Invalid([]holdfast.Violation{{Field: "url", Description: text}})
}

// Control decides about a resolved address just before the connection to it is made; use it as net.Dialer.Control. A
// forbidden address is an error that says which kind of address it is, not which address.
func (p AddressPolicy) Control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return &blockedError{kindUnknown}
	}
	if p.owns(address) {
		return nil
	}
	if kind := p.refusal(target.Addr()); kind != kindAllowed {
		return &blockedError{kind}
	}
	return nil
}

type blockedError struct{ kind addressKind }

func (e *blockedError) Error() string {
	return fmt.Sprintf("the host resolves to %s, which the address policy does not allow", e.kind)
}

// refusal is the kind for which an address is refused, kindAllowed when it is not.
func (p AddressPolicy) refusal(ip netip.Addr) addressKind {
	ip = ip.Unmap().WithZone("")
	kind, decisive := addressKindOf(ip)
	for _, prefix := range p.Allow {
		if (prefix.Contains(ip) || prefix.Contains(decisive)) && (kind != kindMetadata || prefix.IsSingleIP()) {
			return kindAllowed
		}
	}
	if kind == kindLoopback && p.AllowLoopback || kind == kindPrivate && p.AllowPrivate {
		return kindAllowed
	}
	return kind
}

// ownHost is the host of OwnBaseURL, "" when it has none.
func (p AddressPolicy) ownHost() string {
	own, err := url.Parse(p.OwnBaseURL)
	if err != nil {
		return ""
	}
	return own.Hostname()
}

// owns tells whether hostPort is where this service is reached.
func (p AddressPolicy) owns(target string) bool {
	if p.OwnBaseURL == "" {
		return false
	}
	own, err := url.Parse(p.OwnBaseURL)
	return err == nil && own.Hostname() != "" && hostPort(own) == strings.ToLower(target)
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" && u.Scheme == "https" {
		port = "443"
	} else if port == "" {
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// asciiHost is the form of a host in which it is looked up: wide digits and other look-alikes become what they mean.
func asciiHost(host string) (string, bool) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return "", false
			}
			host = ascii
			break
		}
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host, host != "" && host[0] != '.' && host[len(host)-1] != '.'
}
