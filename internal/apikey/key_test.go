package apikey

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNew_isRecognisedByItsEntryAlone(t *testing.T) {
	t.Parallel()
	text, entry, err := New("ci", Write)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(text, "hf_"))
	require.NotContains(t, entry, text[len(Prefix):], "only its hash is stored")
	other, _, err := New("ci", Write)
	require.NoError(t, err)
	ring, err := ParseRing([]string{entry})
	require.NoError(t, err)
	k, ok := ring.Find(text)
	require.True(t, ok)
	require.Equal(t, "ci", k.Name)
	require.Equal(t, Write, k.Scope)
	for _, unknown := range []string{other, "", text + "x", text[1:], entry, strings.Split(entry, ":")[2]} {
		_, ok = ring.Find(unknown)
		require.False(t, ok, unknown)
	}
	_, _, err = New("a b", Read)
	require.ErrorContains(t, err, "the name must be")
}

func TestParseRing_saysWhatIsWrongWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("0a", 32)
	for _, c := range []struct {
		entries []string
		want    string
	}{
		{[]string{"hf_hush"}, "entry 1: must be name:scope:hash"},
		{[]string{"ci:read:hush"}, "entry 1: the hash of ci must be"},
		{[]string{"ci:read:" + strings.Repeat("x", 64)}, "entry 1: the hash of ci must be"},
		{[]string{"ci:hush:" + hash}, "entry 1: the scope of ci must be"},
		{[]string{"hush hush:read:" + hash}, "entry 1: the name must be"},
		{[]string{"a:read:" + hash, "a:write:" + strings.Repeat("0b", 32)}, "entry 2: there is another key named a"},
	} {
		_, err := ParseRing(c.entries)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "hush")
	}
}

func TestFromHeader(t *testing.T) {
	t.Parallel()
	const basic = "Basic dTpw"
	for _, c := range []struct {
		authorization, header []string
		want                  string
	}{
		{nil, nil, ""},
		{[]string{"Bearer k"}, nil, "k"},
		{[]string{"bearer  k "}, nil, "k"},
		{[]string{"Bearer"}, nil, ""},
		{[]string{"Bearer a b"}, nil, ""},
		{[]string{"Bearer k\x00"}, nil, ""},
		{[]string{"Bearer " + strings.Repeat("k", 513)}, nil, ""},
		{[]string{"Bearer a", "Bearer b"}, nil, ""},
		{[]string{basic}, nil, ""},
		{nil, []string{" k "}, "k"},
		{nil, []string{"a", "b"}, ""},
		{[]string{basic}, []string{"k"}, "k"},
		{[]string{"Bearer a"}, []string{"b"}, "a"},
		{[]string{"Bearer"}, []string{"b"}, ""},
	} {
		require.Equal(t, c.want, FromHeader(http.Header{"Authorization": c.authorization, http.CanonicalHeaderKey(Header): c.header}), c)
	}
}

func FuzzFromHeader(f *testing.F) {
	f.Add("Bearer k", "k")
	f.Add("bearer  a b", "\x00")
	f.Fuzz(func(t *testing.T, authorization, header string) {
		got := FromHeader(http.Header{"Authorization": {authorization}, http.CanonicalHeaderKey(Header): {header}})
		require.LessOrEqual(t, len(got), maxKey)
		require.NotContains(t, got, " ")
		require.True(t, strings.Contains(authorization, got) || strings.Contains(header, got))
	})
}
