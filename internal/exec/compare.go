package exec

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"github.com/trunkline/trunkline/internal/plan"
)

// compareKeys orders two rows by their merge keys as PostgreSQL's ORDER BY does. Values are in binary format, nil is NULL.
func compareKeys(a, b [][]byte, keys []plan.MergeKey) int {
	for i := range keys {
		k := &keys[i]
		va, vb := a[k.Column], b[k.Column]
		if va == nil || vb == nil {
			if va == nil && vb == nil {
				continue
			}
			if (va == nil) == k.NullsFirst {
				return -1
			}
			return 1
		}
		c := compareValues(va, vb, k.Type)
		if c == 0 {
			continue
		}
		if k.Descending {
			return -c
		}
		return c
	}
	return 0
}

// compareValues orders two non-null values of one type, in PostgreSQL's binary format.
func compareValues(a, b []byte, oid uint32) int {
	switch oid {
	case 700:
		return compareFloats(float64(math.Float32frombits(binary.BigEndian.Uint32(a))), float64(math.Float32frombits(binary.BigEndian.Uint32(b))))
	case 701:
		return compareFloats(math.Float64frombits(binary.BigEndian.Uint64(a)), math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 21, 23, 20, 1082, 1114, 1184: // signed, two's complement: the sign bit decides first, the other way round
		if len(a) > 0 && len(b) > 0 && (a[0]^b[0])&0x80 != 0 {
			return -bytes.Compare(a[:1], b[:1])
		}
		return bytes.Compare(a, b)
	default: // oid, bool, uuid: as unsigned bytes
		return bytes.Compare(a, b)
	}
}

// compareFloats orders as btfloat8cmp: NaN equals NaN and is greater than everything else. cmp.Compare puts NaN first.
func compareFloats(a, b float64) int {
	switch aNaN, bNaN := math.IsNaN(a), math.IsNaN(b); {
	case aNaN && bNaN:
		return 0
	case aNaN:
		return 1
	case bNaN:
		return -1
	}
	return cmp.Compare(a, b)
}

// comparableType tells whether compareValues knows the type.
func comparableType(oid uint32) bool {
	switch oid {
	case 16, 20, 21, 23, 26, 700, 701, 1082, 1114, 1184, 2950:
		return true
	}
	return false
}
