package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// Owner is the operating system's user that servers run as and that owns
// their files. PostgreSQL refuses to run as root, so when this process is
// root it has to be another user.
type Owner struct {
	Name     string
	UID, GID int
	// Switch is set if this process is another user and has to become Owner
	// in its children.
	Switch bool
}

// fallbackUsers are the users that servers run as when this process is root,
// in order of preference. postgres comes with the server's packages.
var fallbackUsers = []string{"postgres", "trunkline"}

// ChooseOwner returns the user that servers in dir are to run as: this
// process's own user, or, for root, the owner of dir if that is somebody else
// than root, and otherwise the user postgres. dir need not exist.
func ChooseOwner(dir string) (Owner, error) {
	uid := os.Geteuid()
	if uid != 0 {
		return Owner{Name: userName(uid), UID: uid, GID: os.Getegid()}, nil
	}
	if info, err := os.Stat(dir); err == nil {
		if uid, gid, ok := ownerOf(info); ok && uid != 0 {
			return Owner{Name: userName(uid), UID: uid, GID: gid, Switch: true}, nil
		}
	}
	for _, name := range fallbackUsers {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return Owner{}, err
		}
		if uid == 0 {
			continue
		}
		return Owner{Name: name, UID: uid, GID: gid, Switch: true}, nil
	}
	return Owner{}, errors.New("PostgreSQL refuses to run as root and this system has no user postgres to run it as: make one (useradd --system postgres), or start as an ordinary user")
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// MakeDir makes dir, private to o, and gives it to o if it has to. Missing
// parents are made too, and stay this process's own.
func (o Owner) MakeDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !o.Switch {
		return nil
	}
	return os.Chown(dir, o.UID, o.GID)
}

// Reaches reports as an error that o cannot pass through one of dir's
// parents, as happens below root's home directory.
func (o Owner) Reaches(dir string) error {
	if !o.Switch {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for p := filepath.Dir(dir); ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err == nil && !o.mayEnter(info) {
			return fmt.Errorf("PostgreSQL refuses to run as root, and the user %s, which it runs as instead, may not enter %s: choose another directory, for example --dir /var/lib/trunkline", o.Name, p)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

func (o Owner) mayEnter(info fs.FileInfo) bool {
	uid, gid, ok := ownerOf(info)
	if !ok {
		return true
	}
	switch mode := info.Mode().Perm(); {
	case uid == o.UID:
		return mode&0o100 != 0
	case gid == o.GID:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
