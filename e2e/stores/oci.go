package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The annotation that carries a layer's file name, as oras writes it.
const title = "org.opencontainers.image.title"

// newRegistry is an OCI registry, with one artifact a seed. Manifests are in memory.
func newRegistry(opts options, listener net.Listener) (http.Handler, func() error, error) {
	if (opts.username == "") != (opts.password == "") {
		return nil, nil, errors.New("give both --username and --password, or neither")
	}
	settings := []registry.Option{registry.Logger(log.New(io.Discard, "", 0))}
	if opts.blobs != "" {
		settings = append(settings, registry.WithBlobHandler(folder(opts.blobs)))
	}
	handler := registry.New(settings...)
	auth := authn.Anonymous
	if opts.username != "" {
		handler = demand(opts.username, opts.password, handler)
		auth = &authn.Basic{Username: opts.username, Password: opts.password}
	}
	fill := func() error {
		for _, seed := range opts.seeds {
			if err := push(listener.Addr().String(), seed, auth); err != nil {
				return err
			}
		}
		return nil
	}
	return handler, fill, nil
}

// A folder keeps blobs as sha256/<hex>, and gives them out as they are there: a test may spoil one.
type folder string

func (f folder) path(digest v1.Hash) string {
	return filepath.Join(string(f), digest.Algorithm, digest.Hex)
}

func (f folder) Get(_ context.Context, _ string, digest v1.Hash) (io.ReadCloser, error) {
	file, err := os.Open(f.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, registry.ErrNotFound
	}
	return file, err
}

func (f folder) Stat(_ context.Context, _ string, digest v1.Hash) (int64, error) {
	info, err := os.Stat(f.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, registry.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f folder) Put(_ context.Context, _ string, digest v1.Hash, content io.ReadCloser) error {
	bytes, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	path := f.path(digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, bytes, 0o644)
}

// demand lets only one user in.
func demand(username, password string, next http.Handler) http.Handler {
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, word, _ := r.BasicAuth()
		if same(user, username) && same(word, password) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="stores"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}`)
	})
}

// push writes a folder's files as the layers of one artifact.
func push(address string, seed seed, auth authn.Authenticator) error {
	reference, err := name.ParseReference(address+"/"+seed.name, name.Insecure)
	if err != nil {
		return err
	}
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, "application/vnd.oci.empty.v1+json")
	err = filesBelow(seed.folder, func(name, path string) error {
		bytes, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		layer := static.NewLayer(bytes, "application/octet-stream")
		image, err = mutate.Append(image, mutate.Addendum{
			Layer:       layer,
			History:     v1.History{},
			Annotations: map[string]string{title: name},
			MediaType:   "application/octet-stream",
		})
		return err
	})
	if err != nil {
		return err
	}
	return remote.Write(reference, image, remote.WithAuth(auth))
}
