package jsjson

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nodeScript answers each line, a text in base64, with what JavaScript makes of it: ! for a syntax error.
const nodeScript = `
const lines = require('fs').readFileSync(0, 'latin1').split('\n');
lines.pop();
process.stdout.write(lines.map(line => {
  const text = Buffer.from(line, 'base64').toString('utf8');
  try { return Buffer.from(JSON.stringify(JSON.parse(text))).toString('base64'); } catch { return '!'; }
}).join('\n') + '\n');
`

func TestSameBytesAsNode(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	rng := rand.New(rand.NewPCG(4, 3))
	texts := append([]string(nil), fuzzSeeds...)
	for range 2000 {
		g := generator{rng: rng}
		g.value(0)
		texts = append(texts, g.String())
		texts = append(texts, mutate(rng, g.String()))
	}
	for range 2000 {
		texts = append(texts, (&generator{rng: rng}).numberText(), strconv.FormatFloat(math.Float64frombits(rng.Uint64()&^(1<<62)), 'g', -1, 64))
	}
	var in bytes.Buffer
	for _, text := range texts {
		fmt.Fprintln(&in, base64.StdEncoding.EncodeToString([]byte(text)))
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", nodeScript)
	cmd.Stdin = &in
	answer, err := cmd.Output()
	require.NoError(t, err)
	scanner := bufio.NewScanner(bytes.NewReader(answer))
	scanner.Buffer(nil, 16<<20)
	accepted := 0
	for i := range texts {
		require.True(t, scanner.Scan())
		got, err := Canonical(nil, []byte(texts[i]))
		if scanner.Text() == "!" {
			require.Error(t, err, "%q", texts[i])
			continue
		}
		require.NoError(t, err, "%q", texts[i])
		want, err := base64.StdEncoding.DecodeString(scanner.Text())
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%q", texts[i])
		accepted++
	}
	require.Greater(t, accepted, 4000)
	require.Greater(t, len(texts)-accepted, 500, "the corpus must hold wrong texts too")
}

// generator writes random JSON with everything odd that JavaScript treats in its own way.
type generator struct {
	strings.Builder
	rng *rand.Rand
}

func (g *generator) pick(choices ...string) { g.WriteString(choices[g.rng.IntN(len(choices))]) }

func (g *generator) space() {
	if g.rng.IntN(6) == 0 {
		g.pick(" ", "\n", "\t", "\r\n", "  ")
	}
}

func (g *generator) value(depth int) {
	g.space()
	defer g.space()
	kind := g.rng.IntN(10)
	if depth > 5 && kind > 5 {
		kind -= 6
	}
	switch {
	case kind < 2:
		g.WriteString(g.numberText())
	case kind < 4:
		g.text()
	case kind < 5:
		g.pick("true", "false", "null")
	case kind < 6:
		// Nesting far deeper than the rest, within the bound.
		if g.rng.IntN(40) > 0 {
			g.WriteString("7")
			return
		}
		n := g.rng.IntN(MaxDepth - 20)
		g.WriteString(strings.Repeat(`{"b":1,"0":[`, n/2) + "1" + strings.Repeat("]}", n/2))
	case kind < 8:
		g.WriteByte('[')
		for i := range g.rng.IntN(5) {
			if i > 0 {
				g.WriteByte(',')
			}
			g.value(depth + 1)
		}
		g.WriteByte(']')
	default:
		size := g.rng.IntN(6)
		if g.rng.IntN(10) == 0 {
			size = 40
		}
		g.WriteByte('{')
		for i := range size {
			if i > 0 {
				g.WriteByte(',')
			}
			g.space()
			g.key()
			g.space()
			g.WriteByte(':')
			g.value(depth + 1)
		}
		g.WriteByte('}')
	}
}

func (g *generator) key() {
	switch g.rng.IntN(4) {
	case 0:
		g.pick(`"0"`, `"1"`, `"00"`, `"01"`, `"-0"`, `"-1"`, `"1.0"`, `"4294967294"`, `"4294967295"`, `"4294967296"`,
			`"9007199254740991"`, `"\u0031"`, `"2147483648"`, `"99999999999"`, `"1e3"`, `" 1"`, `"٣"`)
	case 1:
		fmt.Fprintf(g, `"%d"`, g.rng.IntN(50))
	case 2:
		g.pick(`"a"`, `"b"`, `"\u0061"`, `"__proto__"`, `"constructor"`, `"toJSON"`, `""`, `"length"`, `"hasOwnProperty"`)
	default:
		g.text()
	}
}

func (g *generator) text() {
	g.WriteByte('"')
	for range g.rng.IntN(12) {
		switch g.rng.IntN(6) {
		case 0:
			g.pick(`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`)
		case 1:
			format := `\u%04x`
			if g.rng.IntN(2) == 0 {
				format = `\u%04X`
			}
			fmt.Fprintf(g, format, g.rng.IntN(0x10000))
		case 2:
			g.pick(`\ud83d\ude00`, `\ud83d`, `\ude00`, `\uD83D\uDE00`, `\ud800\udfff`, `\udbff\udc00`, `\u001f`, `\u007f`, `\u2028`)
		case 3:
			g.pick("é", "😀", "\u2028", "\u2029", "\x7f", "\ufeff", "\ufffd", "日本")
		case 4:
			g.pick("\xff", "\xc0\xaf", "\xe2\x82", "\xed\xa0\x80", "\xed\xa0\xbd\xed\xb8\x80", "\xf0\x9f\x98", "\xf4\x90\x80\x80",
				"\xf0\x80\x80\x80", "\xe0\x9f\xbf", "\xc3", "\x80", "\xf5")
		default:
			g.pick("plain text", "<a href='x'>&", "x", "0123456789abcdef0123456789", "/")
		}
	}
	g.WriteByte('"')
}

func (g *generator) numberText() string {
	switch g.rng.IntN(6) {
	case 0:
		choices := []string{"0", "-0", "-0.0", "0e5", "1.0", "1e3", "1E21", "1e21", "999999999999999999999", "1e-6", "1e-7", "0.0000010",
			"0.00000100001", "5e-324", "2e-324", "1.7976931348623157e308", "1e309", "-1e400", "1e-400", "9007199254740993", "123456789012345678901",
			"2.2250738585072011e-308", "4.35", "0.1", "100000000000000000000", "1e+02", "1e99999", "0.000001234567890123", "123456789012345.5",
			"1234567890123456", "0.3000000000000000444", "5E-1"}
		return choices[g.rng.IntN(len(choices))]
	case 1:
		return strconv.FormatInt(g.rng.Int64()-g.rng.Int64(), 10)
	case 2:
		return strconv.FormatFloat(g.rng.NormFloat64()*math.Pow10(g.rng.IntN(40)-20), 'e', g.rng.IntN(20), 64)
	case 3:
		return strconv.FormatFloat(g.rng.Float64(), 'f', g.rng.IntN(24), 64)
	case 4:
		return fmt.Sprintf("%d.%0*d", g.rng.IntN(100000), 1+g.rng.IntN(12), g.rng.IntN(10000))
	}
	return strconv.Itoa(g.rng.IntN(2000) - 1000)
}

// mutate damages a text in one place.
func mutate(rng *rand.Rand, text string) string {
	b := []byte(text)
	at := rng.IntN(len(b))
	switch rng.IntN(4) {
	case 0:
		return string(b[:at])
	case 1:
		b[at] = byte(rng.IntN(256))
	case 2:
		b[at] = `{}[]:,"\0-.eE`[rng.IntN(13)]
	default:
		b = append(b[:at], b[at+1:]...)
	}
	return string(b)
}
