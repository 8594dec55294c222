package main

import (
	"io/fs"
	"path/filepath"
)

// filesBelow calls visit with each file below a folder and its path from there, by slashes.
func filesBelow(folder string, visit func(name, path string) error) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(name), path)
	})
}
