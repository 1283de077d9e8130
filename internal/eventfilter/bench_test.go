package eventfilter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/eventfilter"
)

const typical = `data.job_type in ["render", "upscale"] && data.priority > 50`

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, err := eventfilter.Compile(typical)
		require.NoError(b, err)
	}
}

func BenchmarkCompileCached(b *testing.B) {
	b.ReportAllocs()
	c := eventfilter.NewCache(10)
	for b.Loop() {
		_, err := c.Compile(typical)
		require.NoError(b, err)
	}
}

// large is 100 KB of data with what the filter looks at.
var large = `{"padding":[` + strings.Repeat(`{"width":1024,"height":768,"name":"image"},`, 2400) + `1],` + strings.TrimPrefix(jobData, "{")

func BenchmarkMatch(b *testing.B) {
	for name, data := range map[string]string{"small": jobData, "100KB": large} {
		filter := compile(b, typical)
		b.Run(name+"/first look", func(b *testing.B) {
			b.ReportAllocs()
			e := event(data)
			for b.Loop() {
				pass, err := filter.Match(eventfilter.NewView(e))
				if !pass || err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/further look", func(b *testing.B) {
			b.ReportAllocs()
			view := eventfilter.NewView(event(data))
			for b.Loop() {
				pass, err := filter.Match(view)
				if !pass || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
