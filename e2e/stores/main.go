// Command stores serves stores of models, on loopback if not told otherwise, for tests: an S3 service that checks
// signatures, and an OCI registry with or without a login.
//
//	stores s3  --seed bucket[/folder]=FOLDER…    [--access-key K --secret-key S]
//	stores oci --seed name:tag=FOLDER…           [--username U --password P]
//
// It prints one JSON line once it serves, {"event":"listening","addr":"127.0.0.1:40123"}, and
// ends with its standard input when --exit-with-parent is given.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// A seed is one folder and the name that it is served under.
type seed struct{ name, folder string }

type seeds []seed

func (s *seeds) String() string { return fmt.Sprint(*s) }

func (s *seeds) Set(text string) error {
	name, folder, found := strings.Cut(text, "=")
	if !found || name == "" || folder == "" {
		return errors.New("write NAME=FOLDER")
	}
	*s = append(*s, seed{name, folder})
	return nil
}

type options struct {
	listen         string
	seeds          seeds
	accessKey      string
	secretKey      string
	username       string
	password       string
	blobs          string
	exitWithParent bool
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stores:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("write `stores s3` or `stores oci`")
	}
	var opts options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&opts.listen, "listen", "127.0.0.1:0", "address; port 0 takes a free one")
	flags.Var(&opts.seeds, "seed", "NAME=FOLDER to serve; may be given again")
	flags.BoolVar(&opts.exitWithParent, "exit-with-parent", false, "end when standard input does")
	var prepare func(options, net.Listener) (http.Handler, func() error, error)
	switch args[0] {
	case "s3":
		flags.StringVar(&opts.accessKey, "access-key", "", "name of the key that requests are signed with")
		flags.StringVar(&opts.secretKey, "secret-key", "", "the key")
		prepare = newBuckets
	case "oci":
		flags.StringVar(&opts.username, "username", "", "user who may read and write")
		flags.StringVar(&opts.password, "password", "", "that user's password")
		flags.StringVar(&opts.blobs, "blobs", "", "folder to keep blobs in, instead of memory")
		prepare = newRegistry
	default:
		return fmt.Errorf("there is no store %q: write s3 or oci", args[0])
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	return serve(opts, prepare)
}

// serve opens the port, fills the store through it, and tells that all is there.
func serve(opts options, prepare func(options, net.Listener) (http.Handler, func() error, error)) error {
	listener, err := net.Listen("tcp", opts.listen)
	if err != nil {
		return err
	}
	handler, fill, err := prepare(opts, listener)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if err := fill(); err != nil {
		return err
	}
	line := map[string]string{"event": "listening", "addr": listener.Addr().String()}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return err
	}
	if opts.exitWithParent {
		go func() {
			_, err := io.Copy(io.Discard, os.Stdin)
			ended <- err
		}()
	}
	return <-ended
}
