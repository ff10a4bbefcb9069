// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Emits logs under ERC-20's Transfer topic that do not have its shape. It refuses ether.
contract MalformedToken {
    // Nothing is indexed, so the log has one topic and 96 bytes of data.
    event Transfer(address from, address to, uint256 amount);

    function emitUnindexed(address from, address to, uint256 amount) external {
        emit Transfer(from, to, amount);
    }

    /// The right topics, but half a word of data.
    function emitShort(address from, address to) external {
        bytes32 topic = Transfer.selector;
        assembly {
            log3(0, 16, topic, from, to)
        }
    }
}

/// Holds ether until it is retired; selfdestruct moves it without a call.
contract Piggybank {
    constructor() payable {}

    function retire(address payable beneficiary) external {
        selfdestruct(beneficiary);
    }
}
