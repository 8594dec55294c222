package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

// newBuckets is an S3 service in memory. A seed is a bucket of its own, or a folder of one: its name
// is then bucket/folder.
func newBuckets(opts options, _ net.Listener) (http.Handler, func() error, error) {
	if (opts.accessKey == "") != (opts.secretKey == "") {
		return nil, nil, errors.New("give both --access-key and --secret-key, or neither")
	}
	backend := s3mem.New()
	var extra []gofakes3.Option
	if opts.accessKey != "" {
		extra = append(extra, gofakes3.WithV4Auth(map[string]string{opts.accessKey: opts.secretKey}))
	}
	fill := func() error {
		for _, seed := range opts.seeds {
			if err := fillBucket(backend, seed); err != nil {
				return err
			}
		}
		return nil
	}
	return gofakes3.New(backend, extra...).Server(), fill, nil
}

func fillBucket(backend gofakes3.Backend, seed seed) error {
	ctx := context.Background()
	bucket, prefix, _ := strings.Cut(seed.name, "/")
	exists, err := backend.BucketExists(ctx, bucket)
	if err == nil && !exists {
		err = backend.CreateBucket(ctx, bucket)
	}
	if err != nil {
		return err
	}
	return filesBelow(seed.folder, func(name, source string) error {
		file, err := os.Open(source)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		_, err = backend.PutObject(ctx, bucket, path.Join(prefix, name), map[string]string{}, file, info.Size())
		return err
	})
}
