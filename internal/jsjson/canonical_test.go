package jsjson

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The vectors of CONTRACT 4.3, observed on the original; the code is that of its signature with the key s3cr3t.
func TestContractVectors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ name, in, out, mac string }{
		{"index keys", `{"b":1,"10":2,"2":3,"a":4,"01":5,"-1":6}`, `{"2":3,"10":2,"b":1,"a":4,"01":5,"-1":6}`,
			"9c74707d08988f64f8e684972cbbbffcad29a5294204c3cbe5052057c24fdf88"},
		{"duplicates", `{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`,
			"7777c362bb22c506d0fb187404c39eacddd56a2753a4e371c57db59301f77511"},
		{"numbers", `{"n":[1.0,1e3,1E21,1e-7,123456789012345678901,-0,0.1,1.5e300,5e-324]}`,
			`{"n":[1,1000,1e+21,1e-7,123456789012345680000,0,0.1,1.5e+300,5e-324]}`,
			"7f716412c6827000219326f392c1a522ef94553a052634948f817259a6888e68"},
		{"largest index", `{"deep":{"4294967294":1,"4294967295":2,"3":3,"x":4}}`, `{"deep":{"3":3,"4294967294":1,"4294967295":2,"x":4}}`,
			"e10385ff807a6f62d495cb6d5b0371622747067af9504c2d169403034a463a2f"},
		{"text", `{"s":"<script>&\u2028\u2029\u007f\/\u00e9\ud83d\ude00\ud800"}`,
			"{\"s\":\"<script>&\u2028\u2029\u007f/é😀\\ud800\"}",
			"2bbb22cf5a46b2d41fb6ecb28421db29d07fae02b0aefe959ca755c975776151"},
		{"beyond 2^53", `{"big":9007199254740993}`, `{"big":9007199254740992}`,
			"c7f5c6f00a444f598028e4a168ccb1f126fef2122d247c48db66bf2f2fc2b569"},
	} {
		got, err := CanonicalObject([]byte("kept "), []byte(v.in))
		require.NoError(t, err, v.name)
		body := strings.TrimPrefix(string(got), "kept ")
		require.Equal(t, v.out, body, v.name)
		mac := hmac.New(sha256.New, []byte("s3cr3t"))
		mac.Write([]byte(body))
		require.Equal(t, v.mac, hex.EncodeToString(mac.Sum(nil)), v.name)
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{
		" \t\r\n{ } ":                             `{}`,
		`[ ]`:                                     `[]`,
		`[1 , [ 2 ] , { "a" : null } ]`:           `[1,[2],{"a":null}]`,
		`"\u0031\"\\\/\b\f\n\r\t\u0000\u001F"`:    `"1\"\\/\b\f\n\r\t\u0000\u001f"`,
		`{"\u0031":1,"0":0}`:                      `{"0":0,"1":1}`, // an escaped digit is a digit
		`{"b":1,"\u0062":2}`:                      `{"b":2}`,
		`{"1":1,"1":2,"0":3,"1":4}`:               `{"0":3,"1":4}`,
		`{"a":{"z":1,"2":[{"y":1,"0":2}]},"1":3}`: `{"1":3,"a":{"2":[{"0":2,"y":1}],"z":1}}`,
		`{"__proto__":1,"a":2,"__proto__":3}`:     `{"__proto__":3,"a":2}`,
		`1e400`:                                   `null`,
		`-1e-400`:                                 `0`,
		`-0.0`:                                    `0`,
		`0.000001`:                                `0.000001`,
		`0.0000001`:                               `1e-7`,
		`100000000000000000000`:                   `100000000000000000000`,
		`1000000000000000000000`:                  `1e+21`,
		`"\ud800\ud83d\ude00"`:                    `"\ud800😀"`,
		`"\uDE00\uD83D"`:                          `"\ude00\ud83d"`,
		`"\ud83d\u0041\ud83dx"`:                   `"\ud83dA\ud83dx"`,
		"\"a\xe2\x82b\xed\xa0\x80\xf0\x9f\x98\"":  "\"a\ufffdb\ufffd\ufffd\ufffd\ufffd\"",
		`"` + strings.Repeat("é<", 40) + `\/"`:    `"` + strings.Repeat("é<", 40) + `/"`,
	} {
		got, err := Canonical(nil, []byte(in))
		require.NoError(t, err, in)
		require.Equal(t, out, string(got), in)
	}
}

func TestManyKeysWithDuplicatesKeepOrder(t *testing.T) {
	t.Parallel()
	var in, out strings.Builder
	in.WriteByte('{')
	out.WriteByte('{')
	for i := range 3000 {
		fmt.Fprintf(&in, `"k%d":%d,`, i%1000, i)
	}
	for i := range 1000 {
		fmt.Fprintf(&out, `"k%d":%d,`, i, i+2000)
	}
	got, err := Canonical(nil, []byte(strings.TrimSuffix(in.String(), ",")+"}"))
	require.NoError(t, err)
	require.Equal(t, strings.TrimSuffix(out.String(), ",")+"}", string(got))
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]SyntaxError{
		``:               {0, "unexpected end"},
		`{"a":1`:         {6, "unexpected end"},
		`{"a":1,}`:       {7, "expected a string as key"},
		`{a:1}`:          {1, "expected a string as key"},
		`{"a" 1}`:        {5, "expected :"},
		`[1,]`:           {3, "expected a value"},
		`[1 2]`:          {3, "expected , or ]"},
		`{"a":1 "b":2}`:  {7, "expected , or }"},
		`01`:             {1, "unexpected data after the value"},
		`-`:              {1, "unexpected end"},
		`+1`:             {0, "expected a value"},
		`.5`:             {0, "expected a value"},
		`1.x`:            {2, "expected a digit after the point"},
		`1ex`:            {2, "expected a digit in the exponent"},
		`-x`:             {1, "expected a digit"},
		`NaN`:            {0, "expected a value"},
		`nul`:            {3, "unexpected end"},
		`trUe`:           {2, "expected true"},
		`"a`:             {2, "unexpected end"},
		"\"a\nb\"":       {2, "control character in a string"},
		`"\x"`:           {2, "unknown escape sequence"},
		`"\u12g4"`:       {5, "expected four hexadecimal digits"},
		`'a'`:            {0, "expected a value"},
		"\ufeff{}":       {0, "expected a value"},
		"{}\x00":         {2, "unexpected data after the value"},
		"\u00a0{}":       {0, "expected a value"},
		`{} {}`:          {3, "unexpected data after the value"},
		`"\ud800\u12g4"`: {11, "expected four hexadecimal digits"},
	} {
		got, err := Canonical([]byte("kept"), []byte(in))
		var syntax *SyntaxError
		require.ErrorAs(t, err, &syntax, "%q: %v", in, err)
		require.Equal(t, want, *syntax, "%q", in)
		require.Equal(t, "kept", string(got))
	}
}

func TestCanonicalObjectTakesOnlyObjects(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`null`, `[1]`, `"str"`, `1`, ` true`} {
		_, err := CanonicalObject(nil, []byte(in))
		require.ErrorContains(t, err, "must be an object", in)
	}
	_, err := CanonicalObject(nil, []byte("  "))
	require.ErrorContains(t, err, "unexpected end")
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
		nest := func(n int) []byte {
			return []byte(strings.Repeat(pair[0], n) + "1" + strings.Repeat(pair[1], n))
		}
		got, err := Canonical(nil, nest(MaxDepth))
		require.NoError(t, err)
		require.Equal(t, nest(MaxDepth), got)
		_, err = Canonical(nil, nest(MaxDepth+1))
		require.ErrorContains(t, err, "nested more than 512 levels deep")
		_, err = Canonical(nil, []byte(strings.Repeat(pair[0], 1<<20)))
		require.ErrorContains(t, err, "nested more than 512 levels deep")
	}
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{
		"":                            `""`,
		"plain é😀":                    `"plain é😀"`,
		"\"\\/\b\f\n\r\t\x00\x1f\x7f": "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"",
		"<script>&\u2028\u2029":       "\"<script>&\u2028\u2029\"",
		"a\xffb":                      "\"a\ufffdb\"",
	} {
		require.Equal(t, "x"+out, string(AppendString([]byte("x"), in)))
	}
}
