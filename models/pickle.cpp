// SPDX-License-Identifier: Apache-2.0
#include "models/pickle.h"

#include <fmt/format.h>

#include <utility>

#include "models/checkpoint.h"
#include "models/pickle_machine.h"
#include "models/pickle_text.h"
#include "support/error.h"

namespace convmixer::pickle {
namespace {

constexpr std::uint8_t kNewestProtocol = 5;

// The opcodes.
class Interpreter : private Machine {
 public:
  Interpreter(Pickle& pickle, const std::uint8_t* data, std::size_t size)
      : Machine(pickle, data, size), pickle_(pickle) {}

  // Up to STOP; what was on top then.
  Ref run() {
    for (;;) {
      begin_opcode();
      const auto opcode = static_cast<char>(take(1)[0]);
      if (opcode == '.') return pop();
      if (!number(opcode) && !text(opcode) && !container(opcode) && !stack_or_memo(opcode) &&
          !object(opcode)) {
        fail(fmt::format("expected an opcode, found byte {:#04x}", this->opcode()));
      }
    }
  }

  using Machine::at;

 private:
  // --- Opcodes; each function says whether the opcode is one of its own ----------------------

  bool number(char opcode) {
    switch (opcode) {
      case 'N':
        push(kNone);
        return true;
      case '\x88':
        push(kTrue);
        return true;
      case '\x89':
        push(kFalse);
        return true;
      case 'J':
        push_integer(static_cast<std::int32_t>(little_endian(4)));
        return true;
      case 'K':
        push_integer(static_cast<std::int64_t>(little_endian(1)));
        return true;
      case 'M':
        push_integer(static_cast<std::int64_t>(little_endian(2)));
        return true;
      case 'I':
      case 'L':
        push_decimal(line());
        return true;
      case '\x8a':
        push_long(take_text(little_endian(1)));
        return true;
      case '\x8b':
        push_long(take_text(little_endian(4)));
        return true;
      case 'F':
        line();
        push_new(Kind::kReal);
        return true;
      case 'G':
        take(8);
        push_new(Kind::kReal);
        return true;
      default:
        return false;
    }
  }

  bool text(char opcode) {
    switch (opcode) {
      case 'X':
      case 'T':  // bytes of Python 2, which are text there
        push_text(Kind::kText, take_text(little_endian(4)));
        return true;
      case '\x8c':
      case 'U':
        push_text(Kind::kText, take_text(little_endian(1)));
        return true;
      case '\x8d':
        push_text(Kind::kText, take_text(little_endian(8)));
        return true;
      case 'B':
        push_text(Kind::kBytes, take_text(little_endian(4)));
        return true;
      case 'C':
        push_text(Kind::kBytes, take_text(little_endian(1)));
        return true;
      case '\x8e':
      case '\x96':  // a bytearray
        push_text(Kind::kBytes, take_text(little_endian(8)));
        return true;
      case 'V':
        push_decoded(decode_unicode_line(line()));
        return true;
      case 'S':
        push_decoded(decode_string_line(line()));
        return true;
      default:
        return false;
    }
  }

  bool container(char opcode) {
    switch (opcode) {
      case ')':
        push_new(Kind::kTuple);
        return true;
      case ']':
        push_new(Kind::kList);
        return true;
      case '}':
        push_new(Kind::kDict);
        return true;
      case '\x8f':
        push_new(Kind::kSet);
        return true;
      case '\x85':
      case '\x86':
      case '\x87':
        push_items(Kind::kTuple, pop_many(static_cast<std::size_t>(opcode - '\x84')));
        return true;
      case 't':
        push_items(Kind::kTuple, pop_to_mark());
        return true;
      case 'l':
        push_items(Kind::kList, pop_to_mark());
        return true;
      case 'd': {
        std::vector<Ref> items = pop_to_mark();
        push_new(Kind::kDict);
        append(std::move(items), true);
        return true;
      }
      case '\x91':
        push_items(Kind::kSet, pop_to_mark());
        return true;
      case 'a':
        append(pop_many(1), false);
        return true;
      case 's':
        append(pop_many(2), true);
        return true;
      case 'e':
      case '\x90':
        append(pop_to_mark(), false);
        return true;
      case 'u':
        append(pop_to_mark(), true);
        return true;
      default:
        return false;
    }
  }

  bool stack_or_memo(char opcode) {
    switch (opcode) {
      case '\x80':
        if (const std::uint64_t version = little_endian(1); version > kNewestProtocol) {
          fail(fmt::format("expected protocol 0 to {}, found {}", kNewestProtocol, version));
        }
        return true;
      case '\x95':  // a frame, which only says how much to read at once
        if (const std::uint64_t length = little_endian(8); length > left())
          fail("expected a whole frame, found its beginning");
        return true;
      case '(':
        mark();
        return true;
      case '0':
        pop();
        return true;
      case '1':
        pop_to_mark();
        return true;
      case '2':
        push(top());
        return true;
      case 'p':
        put(decimal(line()));
        return true;
      case 'q':
        put(little_endian(1));
        return true;
      case 'r':
        put(little_endian(4));
        return true;
      case '\x94':
        put(memo_size());
        return true;
      case 'g':
        get(decimal(line()));
        return true;
      case 'h':
        get(little_endian(1));
        return true;
      case 'j':
        get(little_endian(4));
        return true;
      default:
        return false;
    }
  }

  bool object(char opcode) {
    switch (opcode) {
      case 'c': {
        const std::string_view module = line();
        push(name(module, line()));
        return true;
      }
      case '\x93': {
        const std::vector<Ref> names = pop_many(2);
        const Value &module = pickle_[names[0]], &member = pickle_[names[1]];
        if (module.kind != Kind::kText || member.kind != Kind::kText) {
          fail("expected a module and a name, found " + pickle_.describe(member));
        }
        push(name(module.text, member.text));
        return true;
      }
      case 'i': {
        const std::string_view module = line();
        const Ref class_name = name(module, line());
        call(class_name, new_items(Kind::kTuple, pop_to_mark()));
        return true;
      }
      case 'o': {
        std::vector<Ref> items = pop_to_mark();
        if (items.empty()) fail("expected a name to call, found nothing");
        const Ref class_name = items.front();
        items.erase(items.begin());
        call(class_name, new_items(Kind::kTuple, std::move(items)));
        return true;
      }
      case 'R':
      case '\x81': {
        const std::vector<Ref> items = pop_many(2);
        call(items[0], items[1]);
        return true;
      }
      case '\x92': {  // with arguments by name, too, which nothing here needs
        const std::vector<Ref> items = pop_many(3);
        call(items[0], items[1]);
        return true;
      }
      case 'b':
        build(pop());
        return true;
      case 'Q':
        push_items(Kind::kPersistent, pop_many(1));
        return true;
      case 'P':
      case '\x82':
      case '\x83':
      case '\x84':
      case '\x97':
      case '\x98':
        fail(fmt::format("expected a pickle that needs nothing from outside, found opcode {:#04x}",
                         this->opcode()));
      default:
        return false;
    }
  }

  // --- What they do ---------------------------------------------------------------------------

  Ref name(std::string_view module, std::string_view member) {
    const Name* known = find_name(module, member);
    if (known == nullptr) {
      const std::string full =
          std::string(module.substr(0, 200)).append(".").append(member.substr(0, 200));
      fail(fmt::format("expected only names that tensors and plain containers need, found {}; "
                       "nothing was executed",
                       in_quotes(full)),
           Code::kUnsupported);
    }
    Value& value = make(Kind::kName);
    value.name = known;
    return last();
  }

  void call(Ref callable, Ref arguments) {
    const Value& function = pickle_[callable];
    const Value& given = pickle_[arguments];
    if (function.kind != Kind::kName) {
      fail("expected a name to call, found " + pickle_.describe(function));
    }
    if (given.kind != Kind::kTuple) {
      fail("expected a tuple of arguments, found " + pickle_.describe(given));
    }
    const Value* first = pickle_.item(given, 0);
    if (first != nullptr) spend(first->items.size());
    const Role role = function.name->role;
    if (role == Role::kDict) {
      push_items(Kind::kDict, pairs(first));
    } else if (role == Role::kSequence && (first == nullptr || is_sequence(*first))) {
      push_items(Kind::kTuple, first == nullptr ? std::vector<Ref>() : first->items);
    } else {
      Value& value = make(Kind::kCall);
      value.name = pickle_[callable].name;
      value.items = {arguments};
      push(last());
    }
  }

  static bool is_sequence(const Value& value) {
    return value.kind == Kind::kTuple || value.kind == Kind::kList || value.kind == Kind::kSet;
  }

  // OrderedDict's argument: a dict, or a list of pairs, as Python 2 wrote it; otherwise (the
  // factory of a defaultdict) none of the items is there yet.
  std::vector<Ref> pairs(const Value* argument) const {
    std::vector<Ref> items;
    if (argument == nullptr) return items;
    if (argument->kind == Kind::kDict) return argument->items;
    if (!is_sequence(*argument)) return items;
    for (Ref ref : argument->items) {
      const Value& pair = pickle_[ref];
      if (!is_sequence(pair) || pair.items.size() != 2) {
        fail("expected a list of pairs, found " + pickle_.describe(pair));
      }
      items.insert(items.end(), pair.items.begin(), pair.items.end());
    }
    return items;
  }

  void build(Ref state) {
    Value& value = this->value(top());
    if (value.kind != Kind::kCall && value.kind != Kind::kDict) {
      fail("expected an object to set the state of, found " + pickle_.describe(value));
    }
    value.state = state;
  }

  // To the container on top. Objects of other kinds that take items (a deque) keep none of them.
  void append(std::vector<Ref> items, bool in_pairs) {
    Value& value = this->value(top());
    if (in_pairs && items.size() % 2 != 0) fail("expected pairs of key and value, found a key");
    if (value.kind == Kind::kCall) return;
    const bool fits = in_pairs ? value.kind == Kind::kDict
                               : value.kind == Kind::kList || value.kind == Kind::kSet;
    if (!fits) {
      fail(fmt::format("expected a {} to add to, found {}", in_pairs ? "dict" : "list",
                       pickle_.describe(value)));
    }
    value.items.insert(value.items.end(), items.begin(), items.end());
  }

  const Pickle& pickle_;
};

}  // namespace

Pickle::Pickle(std::string where, const std::uint8_t* data, std::size_t size)
    : where_(std::move(where)) {
  Interpreter interpreter(*this, data, size);
  root_ = interpreter.run();
  bytes_ = interpreter.at();
}

const Value* Pickle::item(const Value& value, std::size_t index) const {
  if (value.kind == Kind::kCall) return item(values_[value.items[0]], index);
  return index < value.items.size() ? &values_[value.items[index]] : nullptr;
}

const Value* Pickle::find(const Value& dict, std::string_view key) const {
  if (dict.kind != Kind::kDict) return nullptr;
  for (std::size_t i = dict.items.size(); i > 1; i -= 2) {
    const Value& candidate = values_[dict.items[i - 2]];
    if (candidate.kind == Kind::kText && candidate.text == key) return &values_[dict.items[i - 1]];
  }
  return nullptr;
}

std::string Pickle::describe(const Value& value) const {
  const auto counted = [&](const char* what, std::size_t count) {
    return fmt::format("{} of {}", what, count);
  };
  switch (value.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.integer != 0 ? "True" : "False";
    case Kind::kInteger:
      return value.text.empty() ? std::to_string(value.integer) : "an integer of many digits";
    case Kind::kReal:
      return "a real number";
    case Kind::kText:
      return "the text " + in_quotes(value.text);
    case Kind::kBytes:
      return counted("bytes, a string", value.text.size());
    case Kind::kTuple:
      return counted("a tuple", value.items.size());
    case Kind::kList:
      return counted("a list", value.items.size());
    case Kind::kSet:
      return counted("a set", value.items.size());
    case Kind::kDict:
      return counted("a dict", value.items.size() / 2);
    case Kind::kName:
      return "the name " + std::string(value.name->full);
    case Kind::kCall:
      return "a call of " + std::string(value.name->full);
    case Kind::kPersistent:
      return "a storage";
  }
  return "a value";
}

std::string Pickle::describe(const Value* value) const {
  return value == nullptr ? "nothing" : describe(*value);
}

}  // namespace convmixer::pickle
