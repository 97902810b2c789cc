package txn

import "github.com/trunkline/trunkline/internal/backend"

// Locate tells where the primary of a group is that the session's catalog snapshot does not know yet: a node that this
// transaction itself adds.
func (t *Tx) Locate(groupID int32, address backend.Address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.address
	t.address = func(group int32) (backend.Address, error) {
		if group == groupID {
			if found, err := known(group); err == nil {
				return found, nil
			}
			return address, nil
		}
		return known(group)
	}
}
