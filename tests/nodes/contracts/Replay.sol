// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Logs whatever it is told; its code is put at the addresses of real contracts.
contract Emitter {
    function emitLog(bytes32[] calldata topics, bytes calldata data) external {
        bytes memory copy = data;
        assembly {
            let start := add(copy, 32)
            let size := mload(copy)
            let topic := topics.offset
            switch topics.length
            case 1 { log1(start, size, calldataload(topic)) }
            case 2 { log2(start, size, calldataload(topic), calldataload(add(topic, 32))) }
            case 3 {
                log3(
                    start,
                    size,
                    calldataload(topic),
                    calldataload(add(topic, 32)),
                    calldataload(add(topic, 64))
                )
            }
            case 4 {
                log4(
                    start,
                    size,
                    calldataload(topic),
                    calldataload(add(topic, 32)),
                    calldataload(add(topic, 64)),
                    calldataload(add(topic, 96))
                )
            }
            default { revert(0, 0) }
        }
    }
}

/// Lets several emitters log in one transaction, in order.
contract Replay {
    function play(
        address[] calldata emitters,
        bytes32[][] calldata topics,
        bytes[] calldata data
    ) external {
        for (uint256 i = 0; i < emitters.length; i++) {
            Emitter(emitters[i]).emitLog(topics[i], data[i]);
        }
    }
}
