package exec

import (
	"encoding/binary"
	"errors"
)

var errArray = errors.New("malformed array")

// splitArrayText gives the elements of a one-dimensional array in text format; nil is NULL. Anything unusual is an error: then
// PostgreSQL is to read it.
func splitArrayText(text []byte) ([][]byte, error) {
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, errArray
	}
	text = text[1 : len(text)-1]
	var elements [][]byte
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '{':
			return nil, errArray
		case c == '"':
			element := []byte{}
			for i++; ; i++ {
				if i >= len(text) {
					return nil, errArray
				}
				if text[i] == '"' {
					i++
					break
				}
				if text[i] == '\\' {
					i++
					if i >= len(text) {
						return nil, errArray
					}
				}
				element = append(element, text[i])
			}
			elements = append(elements, element)
		default:
			start := i
			for i < len(text) && text[i] != ',' {
				switch text[i] {
				case '"', '\\', '{', '}', ' ', '\t', '\n':
					return nil, errArray
				}
				i++
			}
			if i == start {
				return nil, errArray
			}
			element := text[start:i]
			if len(element) == 4 && (element[0]|0x20) == 'n' && (element[1]|0x20) == 'u' && (element[2]|0x20) == 'l' && (element[3]|0x20) == 'l' {
				element = nil
			}
			elements = append(elements, element)
		}
		if i < len(text) {
			if text[i] != ',' || i+1 == len(text) {
				return nil, errArray
			}
			i++
		}
	}
	return elements, nil
}

// splitArrayBinary gives the elements of a one-dimensional array in binary format and their type.
func splitArrayBinary(b []byte) (elements [][]byte, oid uint32, err error) {
	if len(b) < 12 {
		return nil, 0, errArray
	}
	dimensions := binary.BigEndian.Uint32(b)
	oid = binary.BigEndian.Uint32(b[8:])
	if dimensions == 0 {
		return nil, oid, nil
	}
	if dimensions != 1 || len(b) < 20 {
		return nil, 0, errArray
	}
	n := int(int32(binary.BigEndian.Uint32(b[12:])))
	b = b[20:]
	for range n {
		if len(b) < 4 {
			return nil, 0, errArray
		}
		length := int(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if length < 0 {
			elements = append(elements, nil)
			continue
		}
		if length > len(b) {
			return nil, 0, errArray
		}
		elements = append(elements, b[:length:length])
		b = b[length:]
	}
	return elements, oid, nil
}
