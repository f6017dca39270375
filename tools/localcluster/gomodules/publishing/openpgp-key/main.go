// Openpgp-key makes a key for tests of signed charts, without a password. Usage: openpgp-key NAME DIRECTORY. It writes
// secret.gpg and public.gpg, in the binary form that Helm reads.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ProtonMail/go-crypto/openpgp"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return fmt.Errorf("usage: openpgp-key NAME DIRECTORY")
	}
	key, err := openpgp.NewEntity(os.Args[1], "", os.Args[1]+"@example.com", nil)
	if err != nil {
		return err
	}
	secret := func(out io.Writer) error { return key.SerializePrivate(out, nil) }
	if err := write(filepath.Join(os.Args[2], "secret.gpg"), secret); err != nil {
		return err
	}
	return write(filepath.Join(os.Args[2], "public.gpg"), key.Serialize)
}

func write(name string, content func(io.Writer) error) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := content(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
