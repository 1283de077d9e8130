package jsjson

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var fuzzSeeds = []string{
	`{"b":1,"10":2,"2":3,"a":4,"01":5,"-1":6}`, `{"a":1,"b":2,"a":3}`, `{"__proto__":1,"__proto__":{"x":[]}}`,
	`{"n":[1.0,1e3,1E21,1e-7,123456789012345678901,-0,0.1,1.5e300,5e-324,1e400,-1e400,1e-400]}`,
	`{"deep":{"4294967294":1,"4294967295":2,"3":3,"x":4}}`,
	`{"s":"<script>&\u2028\u2029\u007f\/\u00e9\ud83d\ude00\ud800"}`, `["\ud83d\ud83d\ude00\ude00\uD83D\uDE00"]`,
	"\"\xff\xe2\x82\xed\xa0\x80\xf0\x9f\x98\"", "\xff{}", "\ufeff{}", ``, ` `, `{`, `[`, `"`, `-`, `1.`, `1e`, `{"":0}`, `{"a":1,}`, `[,]`,
	`tru`, `nulll`, "{}\x00", `"\u00"`, `"\ud800\u"`, "[1\v]", strings.Repeat("[", 600), strings.Repeat(`{"1":`, 300) + "1" + strings.Repeat("}", 300),
}

func FuzzCanonical(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		once, err := Canonical(nil, in)
		if err != nil {
			require.Empty(t, once)
			return
		}
		require.True(t, utf8.Valid(once))
		require.True(t, json.Valid(once))
		require.True(t, json.Valid(in) || !utf8.Valid(in), "accepted what encoding/json refuses")
		twice, err := Canonical([]byte("x"), once)
		require.NoError(t, err)
		require.Equal(t, "x"+string(once), string(twice))
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\x00\"\\\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		quoted := AppendString(nil, s)
		again, err := Canonical(nil, quoted)
		require.NoError(t, err)
		require.Equal(t, string(quoted), string(again))
		var back string
		require.NoError(t, json.Unmarshal(quoted, &back))
		if utf8.ValidString(s) {
			require.Equal(t, s, back)
		}
	})
}

// sample is an event's data of about size bytes, as the job broker writes it.
func sample(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"job_id":"job_1718000000000_abc","job_type":"comfyui","priority":50,"submitted_at":1718000000000,"progress":0.4375,"payload":{`)
	for i := 0; b.Len() < size-200; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":{"class_type":"KSampler","inputs":{"seed":%d,"steps":20,"cfg":7.5,"text":"a photo of a cat, \"highly\" detailed\nsharp focus, é","model":["4",0]}}`, i, 1000003*i)
	}
	b.WriteString(`},"requirements":{"hardware":{"gpu_memory_gb":8},"models":["sd_xl_base_1.0.safetensors"]},"customer_id":null,"retry":false}`)
	return []byte(b.String())
}

func BenchmarkCanonical(b *testing.B) {
	shuffled := func(size int) []byte {
		return []byte(`{"x":` + strings.NewReplacer(`"0":{`, `"99999":{`, `7.5`, `7.50`).Replace(string(sample(size))) + `}`)
	}
	spaced := func(size int) []byte {
		return []byte(strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(string(sample(size))))
	}
	for name, make := range map[string]func(int) []byte{"canonical": sample, "reordered": shuffled, "spaced": spaced} {
		for _, size := range []int{1 << 10, 100 << 10} {
			in := make(size)
			b.Run(fmt.Sprintf("%s/%dKB", name, size>>10), func(b *testing.B) {
				var dst []byte
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if dst, err = Canonical(dst[:0], in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
