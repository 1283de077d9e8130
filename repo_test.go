package holdfast_test

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// This file is the law of the repository: what the layout promises (ARCHITECTURE) and no compiler checks.

const module = "github.com/emprops/holdfast"

// source is one Go file of ours; generated code is not.
type source struct {
	dir     string // relative to the root, "." for the root
	name    string
	file    *ast.File
	fset    *token.FileSet
	test    bool // a test, or a package that only tests import
	lean    bool // part of the build with the tag lean
	imports []string
}

func (s *source) at(n ast.Node) string {
	return filepath.Join(s.dir, s.name) + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// sources parses every Go file of the repository.
func sources(t *testing.T) []*source {
	t.Helper()
	var all []*source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || slices.Contains([]string{"gen", "node_modules", "testdata", "bin"}, base)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		s := &source{
			dir: dir, name: base, file: file, fset: fset, lean: inLeanBuild(file),
			test: strings.HasSuffix(base, "_test.go") || below(dir, "internal/testkit"),
		}
		for _, i := range file.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, p)
		}
		all = append(all, s)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(all), 20, "the walk has found the repository")
	return all
}

// inLeanBuild tells whether the file's build constraint holds on linux with the tag lean.
func inLeanBuild(file *ast.File) bool {
	for _, group := range file.Comments {
		if group.Pos() > file.Package {
			break
		}
		for _, line := range group.List {
			if expr, err := constraint.Parse(line.Text); err == nil {
				return expr.Eval(func(tag string) bool { return slices.Contains([]string{"lean", "unix", "linux"}, tag) })
			}
		}
	}
	return true
}

// below tells whether dir is parent or inside it.
func below(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

// ours is the folder of an import of this module, "." for the domain; ok is false for imports from elsewhere.
func ours(imported string) (dir string, ok bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// importRule says what the production code of some folders may not import.
type importRule struct {
	in     func(dir string) bool
	allow  []string // when set, the only imports besides the standard library
	deny   []string // an import at or below one of these breaks the rule
	reason string
}

func folder(dir string) func(string) bool { return func(d string) bool { return below(d, dir) } }

func except(dirs ...string) func(string) bool {
	return func(d string) bool {
		return !slices.ContainsFunc(dirs, func(e string) bool { return below(d, e) })
	}
}

var importRules = []importRule{
	{
		in: func(d string) bool { return d == "." }, allow: []string{},
		reason: "the domain must be usable from everywhere, so it depends on nothing",
	},
	{
		in: folder("workflows"),
		allow: []string{
			module, module + "/activities", "go.temporal.io/sdk/workflow", "go.temporal.io/sdk/temporal",
			"go.temporal.io/sdk/log", "go.temporal.io/api/enums/v1",
		},
		reason: "workflow code must be deterministic: only the domain, the activities' types and the SDK's workflow API",
	},
	{
		in: folder("workflows"), deny: []string{"context", "net", "os", "io", "crypto/rand", "math/rand", "sync", "syscall"},
		reason: "workflow code must be deterministic: no world outside",
	},
	{
		in: folder("activities"), deny: []string{module + "/workflows", module + "/server", module + "/internal", "github.com/redis"},
		reason: "activities get storage and network through their own small interfaces, so that workflows can name them",
	},
	{
		in: folder("server"), deny: []string{module + "/activities", module + "/worker", "go.temporal.io/sdk/worker"},
		reason: "an API process must not need what a worker needs",
	},
	{
		in: folder("worker"), deny: []string{module + "/server", module + "/internal", "github.com/redis"},
		reason: "the worker joins workflows and activities; who provides them is the composition root's business",
	},
	{
		in: except("internal/app", "cmd", "bench"), deny: []string{module + "/internal/app"},
		reason: "only commands start the composition root",
	},
	{
		in: except("internal/app", "internal/devserver", "cmd", "bench"), deny: []string{module + "/internal/devserver"},
		reason: "the embedded services are an adapter of the composition root",
	},
	{
		in: except("internal/devserver"), deny: []string{"go.temporal.io/server", "github.com/temporalio/ui-server", "modernc.org/sqlite", "github.com/alicebob/miniredis"},
		reason: "the embedded services are linked in one place, so that lean builds leave them out",
	},
	{
		in: except("nothing"), deny: []string{
			module + "/internal/testkit", "testing", "github.com/stretchr", "go.uber.org/goleak", "pgregory.net/rapid",
			"go.temporal.io/sdk/testsuite", "go.uber.org/zap/zaptest",
		},
		reason: "what tests need does not belong into the binary",
	},
	{
		in: except("nothing"), deny: []string{"github.com/pkg/errors", "io/ioutil", "gopkg.in/yaml.v3"},
		reason: "one way for each thing: errors and fmt, os and io, go.yaml.in/yaml",
	},
}

func TestImportsKeepTheBoundaries(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, rule := range importRules {
			if !rule.in(s.dir) {
				continue
			}
			for _, imported := range s.imports {
				denied := slices.ContainsFunc(rule.deny, func(d string) bool { return below(imported, d) })
				unlisted := rule.allow != nil && !isStandard(imported) && !slices.Contains(rule.allow, imported)
				if denied || unlisted {
					t.Errorf("%s/%s imports %s: %s", s.dir, s.name, imported, rule.reason)
				}
			}
		}
	}
}

// reachable are the folders of ours that production code of dir links, directly or not.
func reachable(all []*source, dir string, use func(*source) bool) map[string]bool {
	direct := map[string][]string{}
	for _, s := range all {
		if s.test || !use(s) {
			continue
		}
		for _, imported := range s.imports {
			if d, ok := ours(imported); ok {
				direct[s.dir] = append(direct[s.dir], d)
			}
		}
	}
	found := map[string]bool{}
	var visit func(string)
	visit = func(d string) {
		for _, next := range direct[d] {
			if !found[next] {
				found[next] = true
				visit(next)
			}
		}
	}
	visit(dir)
	return found
}

func TestWorkflowsReachNoAdapterEvenIndirectly(t *testing.T) {
	t.Parallel()
	found := reachable(sources(t), "workflows", func(*source) bool { return true })
	require.Equal(t, map[string]bool{".": true, "activities": true}, found)
}

func TestLeanBinaryHoldsNoEmbeddedServices(t *testing.T) {
	t.Parallel()
	all := sources(t)
	lean := func(s *source) bool { return s.lean }
	folders := reachable(all, "cmd/holdfast", lean)
	for _, s := range all {
		if s.test || !s.lean || !folders[s.dir] {
			continue
		}
		for _, imported := range s.imports {
			for _, heavy := range []string{"go.temporal.io/server", "github.com/temporalio/ui-server", "modernc.org/sqlite"} {
				require.False(t, below(imported, heavy), "%s/%s imports %s in a lean build", s.dir, s.name, imported)
			}
		}
	}
}

func TestEveryPackageHasExactlyOnePackageDoc(t *testing.T) {
	t.Parallel()
	docs, packages := map[string][]string{}, map[string]bool{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") {
			require.Nil(t, s.file.Doc, "%s/%s: a test file documents no package", s.dir, s.name)
			continue
		}
		packages[s.dir] = true
		if s.file.Doc != nil {
			docs[s.dir] = append(docs[s.dir], s.name)
			begins := "Package " + s.file.Name.Name + " "
			if s.file.Name.Name == "main" {
				begins = "Command " + path.Base(s.dir) + " "
			}
			if !strings.HasPrefix(s.file.Doc.Text(), begins) {
				t.Errorf("%s/%s: the package doc does not begin with %q", s.dir, s.name, begins)
			}
		}
	}
	for dir := range packages {
		if len(docs[dir]) != 1 {
			t.Errorf("%s has package docs in %v; it needs exactly one", dir, docs[dir])
		}
	}
}

func TestPackageNamesSayWhatIsInside(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		name := strings.TrimSuffix(s.file.Name.Name, "_test")
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "base", "shared", "models"}, name) {
			t.Errorf("%s: package %s says nothing of what is inside", s.dir, name)
		}
	}
}

func TestEveryExportedSymbolIsDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") || s.file.Name.Name == "main" {
			continue
		}
		for _, decl := range s.file.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: %s has no doc comment", s.at(decl), name)
			}
		}
	}
}

// undocumented names the exported symbols of a declaration that no comment explains. In a group, the group's comment or
// one beside the name is enough for constants and variables.
func undocumented(decl ast.Decl) []string {
	var missing []string
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
			missing = append(missing, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && spec.Doc == nil && (d.Doc == nil || len(d.Specs) > 1) {
					missing = append(missing, spec.Name.Name)
				}
			case *ast.ValueSpec:
				if d.Doc != nil || spec.Doc != nil || spec.Comment != nil {
					continue
				}
				for _, name := range spec.Names {
					if name.IsExported() {
						missing = append(missing, name.Name)
					}
				}
			}
		}
	}
	return missing
}

// receiver is the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

// call is a use of a function of a package that is not allowed somewhere.
type call struct{ pkg, fun, reason string }

// anything stands for every function of a package.
const anything = "*"

func calls(s *source, banned []call, report func(n ast.Node, c call)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		for _, c := range banned {
			if x.Name == c.pkg && (c.fun == anything || sel.Sel.Name == c.fun) {
				report(n, c)
			}
		}
		return true
	})
}

func TestTestsWaitForEventsAndStopWithTheTest(t *testing.T) {
	t.Parallel()
	banned := []call{
		{"time", "Sleep", "tests wait for events; poll with a deadline or use a channel"},
		{"context", "Background", "t.Context() ends with the test"},
		{"assert", anything, "a test that went wrong must stop: use require"},
	}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") {
			calls(s, banned, func(n ast.Node, c call) { t.Errorf("%s: %s.%s: %s", s.at(n), c.pkg, c.fun, c.reason) })
		}
	}
}

func TestOnlyMainEndsTheProcess(t *testing.T) {
	t.Parallel()
	banned := []call{
		{"os", "Exit", "only main may end the process"},
		{"log", "Fatal", "only main may end the process"},
		{"log", "Fatalf", "only main may end the process"},
	}
	for _, s := range sources(t) {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		calls(s, banned, func(n ast.Node, c call) { t.Errorf("%s: %s.%s: %s", s.at(n), c.pkg, c.fun, c.reason) })
		ast.Inspect(s.file, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if f, ok := c.Fun.(*ast.Ident); ok && f.Name == "panic" {
					t.Errorf("%s: panic: return an error; a part that fails must not take the others with it", s.at(n))
				}
			}
			return true
		})
	}
}

func TestModuleReplacesNothingAndKeepsPinnedVersions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	require.NotRegexp(t, `(?m)^\s*replace\b`, string(text), "a replaced module builds only here")
	require.NotRegexp(t, `(?m)^\s*toolchain\b`, string(text), "the go line alone says which toolchain")
	for name, pin := range map[string]struct{ version, reason string }{
		"go.opentelemetry.io/otel/log": {"v0.20.0", "the embedded Temporal server does not compile with a newer one"},
		"go.opentelemetry.io/otel":     {"v1.44.0", "newer ones bring a newer otel/log"},
	} {
		found := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(name) + ` (\S+)`).FindSubmatch(text)
		require.NotNil(t, found, name)
		require.Equal(t, pin.version, string(found[1]), "%s: %s", name, pin.reason)
	}
}
