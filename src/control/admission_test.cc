// SPDX-License-Identifier: MIT

// Only admission counts: strangers that accept connections, whatever they do with them, keep nobody out.

#include "control/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/seeded_rng.h"
#include "wire/control_messages.h"

namespace eps::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The far end of a connection: the server, or a stranger with another enrolment secret.
class FarEnd {
 public:
  FarEnd(const crypto::KeyPair& keys, const crypto::Key& psk, Rng& rng) : keys_(keys), psk_(psk.clone()), rng_(rng) {}
  // Its answer to the first message.
  Bytes answer(const Bytes& initiation) {
    ByteView in = initiation;
    noise::Responder responder(keys_, as_view(kPrologue), rng_);
    const auto request = responder.read_initiation(*framing_.next_frame(in));
    purpose = static_cast<Purpose>(std::to_integer<std::uint8_t>(request->payload[1]));
    const crypto::Key none;
    Bytes message, frame;
    channel_.begin_transport(*responder.write_response({}, purpose == Purpose::first_join ? psk_ : none, message),
                             false);
    Channel::put_frame(message, frame);
    return frame;
  }
  Bytes say(const wire::ControlMessage& message) {
    Bytes frame;
    channel_.seal(wire::encode(message), frame);
    return frame;
  }
  Purpose purpose = Purpose::member;

 private:
  const crypto::KeyPair& keys_;
  crypto::Key psk_;
  Rng& rng_;
  Channel framing_, channel_;
};

class AdmissionTest : public testing::Test {
 protected:
  AdmissionTest() {
    rng_.fill(enrolment_.writable());
    admission_.begin();
  }
  NetworkKey key() const { return {server_.public_key, enrolment_.clone()}; }
  FarEnd server() { return {server_, enrolment_psk(key().enrolment.view()), rng_}; }

  Admission::Outputs connected(LinkId link) {
    return admission_.on_connected(link, at(link), {}, {crypto::generate_key_pair(rng_), key(), "a", "1", enrolled_},
                                   held_, now_);
  }
  Admission::Outputs hear(LinkId link, const Bytes& bytes) { return admission_.on_bytes(link, bytes, held_, now_); }
  Admission::Outputs hang_up(LinkId link) { return admission_.on_closed(link, "", held_, now_); }
  static Endpoint at(LinkId link) { return {IpAddress::from_v4({static_cast<std::uint32_t>(link)}), 1}; }
  static std::vector<LinkId> spoken_to(const Admission::Outputs& out) {
    std::vector<LinkId> links;
    for (const auto& [link, bytes] : out.to_send) links.push_back(link);
    return links;
  }
  wire::Welcome welcome() {
    wire::Welcome w;
    w.self.id = {1};
    w.self.name = "a";
    w.self.mac.bytes[0] = std::byte{2};
    w.self.address = {0x0a000001};
    w.network.network = *parse_ip4_network("10.0.0.0/24");
    w.data_port = 7;
    return w;
  }

  test::SeededRng rng_{3};
  crypto::KeyPair server_ = crypto::generate_key_pair(rng_);
  crypto::Secret<16> enrolment_;
  bool enrolled_ = true;
  MemberList held_;
  Admission admission_{rng_};
  Instant now_{std::chrono::hours(1)};
};

TEST_F(AdmissionTest, AcceptingAConnectionIsNotAdmission) {
  connected(1);
  connected(2);
  connected(3);
  FarEnd far = server();
  const auto first = connected(4);
  EXPECT_THAT(hang_up(2).to_close, ElementsAre(2));
  const Bytes portal = {std::byte{0}, std::byte{2}, std::byte{1}, std::byte{1}};
  EXPECT_FALSE(hear(3, portal).lost);
  EXPECT_THAT(spoken_to(hear(4, far.answer(first.to_send.at(0).second))), ElementsAre(4));
  EXPECT_TRUE(admission_.asking());
  const auto out = hear(4, far.say(welcome()));
  ASSERT_TRUE(out.won);
  EXPECT_EQ(out.won->link, 4U);
  EXPECT_THAT(out.to_close, ElementsAre(1)) << "the silent one";
  EXPECT_FALSE(admission_.running());
}

TEST_F(AdmissionTest, StrangersAreNeverFatalAndTheKeyIsNotBlamed) {
  enrolled_ = false;
  connected(1);
  connected(2);
  hang_up(1);
  hear(2, {std::byte{0}, std::byte{2}, std::byte{1}, std::byte{1}});
  const auto out = admission_.on_dialed_all("3.3.3.3:1: Connection refused");
  ASSERT_TRUE(out.lost);
  EXPECT_TRUE(out.lost->retry);
  EXPECT_FALSE(out.lost->by_server);
  EXPECT_THAT(out.lost->sentence,
              testing::AllOf(HasSubstr("3.3.3.3:1: Connection refused"), HasSubstr("0.0.0.1:1: it hung up"),
                             HasSubstr("0.0.0.2:1: it gave another answer"), Not(HasSubstr("Copy"))));
}

TEST_F(AdmissionTest, TheServerIsAskedInOneConnectionAtATime) {
  FarEnd one = server(), two = server();
  const auto first = connected(1), second = connected(2);
  EXPECT_THAT(spoken_to(hear(1, one.answer(first.to_send.at(0).second))), ElementsAre(1));
  EXPECT_TRUE(hear(2, two.answer(second.to_send.at(0).second)).to_send.empty());
  // It is slightly too slow: the other one is asked instead.
  now_ = admission_.next_deadline();
  const auto late = admission_.on_deadline(held_, now_);
  EXPECT_THAT(late.to_close, ElementsAre(1));
  EXPECT_THAT(spoken_to(late), ElementsAre(2));
  EXPECT_EQ(hear(2, two.say(welcome())).won->link, 2U);
}

TEST_F(AdmissionTest, TheOnlyServerIsWaitedForEvenIfSlow) {
  FarEnd far = server();
  const auto first = connected(1);
  hear(1, far.answer(first.to_send.at(0).second));
  admission_.on_dialed_all("");
  now_ += std::chrono::seconds(9);
  EXPECT_GT(admission_.next_deadline(), now_);
  EXPECT_TRUE(hear(1, far.say(welcome())).won);
}

TEST_F(AdmissionTest, RefusalByTheServerEndsTheSearch) {
  FarEnd far = server();
  const auto first = connected(1);
  connected(2);
  hear(1, far.answer(first.to_send.at(0).second));
  const auto out = hear(1, far.say(wire::Refused{wire::RefusalCode::full, "It is full."}));
  ASSERT_TRUE(out.lost);
  EXPECT_TRUE(out.lost->by_server);
  EXPECT_EQ(out.lost->sentence, "It is full");
  EXPECT_THAT(out.to_close, ElementsAre(1, 2));
}

TEST_F(AdmissionTest, WhoeverSpeaksAnotherProtocolIsNotWaitedFor) {
  connected(1);
  connected(2);
  const ByteView page = as_view("HTTP/1.1 302 Found\r\n");
  hear(1, Bytes(page.begin(), page.end()));
  hear(2, {std::byte{0x16}});
  hear(2, {std::byte{3}, std::byte{3}});  // a record of TLS
  const auto out = admission_.on_dialed_all("");
  ASSERT_TRUE(out.lost);
  EXPECT_THAT(out.lost->sentence,
              testing::AllOf(HasSubstr("0.0.0.1:1: it gave another answer"), HasSubstr("0.0.0.2:1: it gave another")));
}

class FirstJoin : public AdmissionTest {
 protected:
  FirstJoin() { enrolled_ = false; }
  // The next search; the only connection, `link`, leads to at(1).
  Admission::Outputs ask(LinkId link) {
    admission_.begin();
    auto out = admission_.on_connected(link, at(1), {}, {crypto::generate_key_pair(rng_), key(), "a", "1", false},
                                       held_, now_);
    admission_.on_dialed_all("");
    return out;
  }
  // Asked as by a member, the server proves itself and does not know the computer.
  void expect_proof(LinkId link) {
    FarEnd far = server();
    const auto asked = ask(link);
    hear(link, far.answer(asked.to_send.at(0).second));
    EXPECT_EQ(far.purpose, Purpose::member);
    const auto out = hear(link, far.say(wire::Refused{wire::RefusalCode::unknown_key, "Unknown."}));
    ASSERT_TRUE(out.lost);
    EXPECT_TRUE(out.lost->retry) << "who answered before may have been somebody else";
    EXPECT_TRUE(out.lost->come_back) << "at once";
    EXPECT_FALSE(out.lost->forget_enrolment);
  }
};

TEST_F(FirstJoin, AWrongEnrolmentPartIsReportedOnceTheServerHasProvedItself) {
  crypto::Key other;
  rng_.fill(other.writable());
  const auto answer = [&](LinkId link) {
    FarEnd far(server_, other, rng_);
    const auto asked = ask(link);
    auto out = hear(link, far.answer(asked.to_send.at(0).second));
    EXPECT_EQ(far.purpose, Purpose::first_join);
    return out;
  };
  ASSERT_TRUE(answer(1).lost);
  expect_proof(2);
  const auto out = answer(3);
  ASSERT_TRUE(out.lost);
  EXPECT_FALSE(out.lost->retry);
  EXPECT_THAT(out.lost->sentence, HasSubstr("enrolment part is wrong"));
}

TEST_F(FirstJoin, TheAnswerOfACaptivePortalIsNotTheServers) {
  ask(1);
  const auto portal = hear(1, {std::byte{0}, std::byte{2}, std::byte{1}, std::byte{1}});
  ASSERT_TRUE(portal.lost);
  EXPECT_TRUE(portal.lost->retry);
  expect_proof(2);  // somebody has logged in at the portal
  FarEnd far = server();
  const auto asked = ask(3);
  hear(3, far.answer(asked.to_send.at(0).second));
  EXPECT_TRUE(hear(3, far.say(welcome())).won);
}

}  // namespace
}  // namespace eps::control
